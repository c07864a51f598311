/**
 * Deletes keys whose lease may be gone. An operator may have detached such a key from its lease, and then the end of the
 * lease does not delete it. The campaign that left the key deletes it when it enters again. But it enters only after its work has
 * stopped, which can take long.
 */
import type { Candidacy } from '../core/campaign-state.ts';
import { release } from '../etcd/election-keys.ts';
import type { EtcdError } from '../etcd/etcd-error.ts';
import type { EtcdTransport } from '../etcd/transport.ts';
import { privateGuard, type GuardSettings } from '../loop-guard/loop-guard.ts';
import { CALL_LIMIT_MS } from './session.ts';

const SETTINGS: GuardSettings = {
  burst: 1,
  baseMs: 250,
  capMs: 2_200,
  outsideCapMs: 2_200,
  healthyAfterMs: 10_000,
};

export class LeftKeys {
  readonly #transport: EtcdTransport;
  readonly #signal: AbortSignal;
  readonly #guard = privateGuard();
  readonly #left = new Set<Candidacy>();
  #isDeleting = false;

  /** @param signal ends all tries. */
  constructor(transport: EtcdTransport, signal: AbortSignal) {
    this.#transport = transport;
    this.#signal = signal;
  }

  /** Deletes the key of a candidacy that is over, only if it is still the one that we created. Tries until etcd answers. */
  delete(candidacy: Candidacy): void {
    this.#left.add(candidacy);
    if (!this.#isDeleting) void this.#deleteAll();
  }

  async #deleteAll(): Promise<void> {
    this.#isDeleting = true;
    while (this.#left.size > 0 && !this.#signal.aborted) {
      await this.#guard.pass('environment', SETTINGS, { signal: this.#signal });
      await this.#deleteEach();
    }
    this.#isDeleting = false;
  }

  async #deleteEach(): Promise<void> {
    for (const candidacy of this.#left) {
      if (this.#signal.aborted) return;
      try {
        await release(this.#transport, candidacy, { withinMs: CALL_LIMIT_MS, signal: this.#signal });
      } catch (error) {
        if ((error as EtcdError).kind === 'unavailable') return; // the others would fail too
      }
      this.#left.delete(candidacy); // if etcd refuses, it would refuse again
    }
  }
}
