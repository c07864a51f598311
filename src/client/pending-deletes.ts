/**
 * Keys that should be gone, but whose release has not been acknowledged, or that a late put may bring back. While the
 * lease lives for others, a key left behind would lead for nobody.
 */
import type { CallLimits } from '../etcd/transport.ts';
import { clock } from '../util/clock.ts';

/** Takes a key out of the queue, whichever of our puts it is there by. @throws {EtcdError} */
export type Release = (limits: CallLimits, isStillPending: () => boolean) => Promise<void>;

interface PendingDelete {
  readonly release: Release;
  /** Released again until then, because a late put may still be on its way; 0 if none can be. */
  readonly repeatUntilMs: number;
}

export class PendingDeletes {
  readonly #byKey = new Map<string, PendingDelete>();

  /** @param repeatUntilMs until when a put that was not answered may still arrive after a release; 0 if none can. */
  add(key: string, release: Release, repeatUntilMs: number): void {
    this.#byKey.set(key, { release, repeatUntilMs });
  }

  /** Releases the key now, if it is pending. @throws {EtcdError} */
  async flush(key: string, limits: CallLimits): Promise<void> {
    const pending = this.#byKey.get(key);
    if (pending === undefined) return;
    await pending.release(limits, () => this.#byKey.get(key) === pending);
    this.#byKey.delete(key);
  }

  /** Releases every key once; the next renewal goes on if a release fails. @throws {EtcdError} */
  async flushAll(limits: CallLimits): Promise<void> {
    for (const [key, pending] of this.#byKey) {
      const isStillPending = (): boolean => this.#byKey.get(key) === pending;
      await pending.release(limits, isStillPending);
      if (isStillPending() && pending.repeatUntilMs <= clock.now()) this.#byKey.delete(key);
    }
  }
}
