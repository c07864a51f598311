/**
 * Remembers the keys that must still be deleted. Either their release was not acknowledged, or a late put or a restored
 * snapshot may create them again. If other elections keep the lease alive, a forgotten key could lead although no
 * replica holds it.
 */
import { EtcdError } from '../etcd/etcd-error.ts';
import type { CallLimits } from '../etcd/transport.ts';
import { clock } from '../util/clock.ts';

/** Deletes our key. Some releases delete it only if one particular put has created it. @throws {EtcdError} */
export type Release = (limits: CallLimits, isStillPending: () => boolean) => Promise<void>;

interface PendingDelete {
  readonly release: Release;
  /** Until when a late put may arrive, in milliseconds; 0 if none can. Until then, even a successful delete is repeated. */
  readonly repeatUntilMs: number;
}

/** How many of the last given-up keys are remembered. A restored snapshot may bring them back. */
const MOST_GIVEN_UP = 1_000;

export class PendingDeletes {
  readonly #byKey = new Map<string, PendingDelete>();
  /** The keys that candidacies gave up, the last at the end. */
  readonly #givenUp = new Map<string, Release>();
  /**
   * Whether etcd has lost its history. A key may then be from an earlier put of ours. The delete of one candidacy would
   * miss such a key, because the delete compares the creation revision.
   */
  #isHistoryLost = false;
  #isFlushing = false;

  /** @param repeatUntilMs until when an unanswered put may still arrive, in milliseconds; 0 if none can. */
  add(key: string, release: Release, repeatUntilMs: number): void {
    const all = this.#isHistoryLost ? this.#givenUp.get(key) : undefined;
    this.#byKey.set(key, { release: all ?? release, repeatUntilMs });
  }

  /**
   * A candidacy gave up this key. The key may come back if etcd loses its history.
   *
   * @param release deletes the key if it comes back, whichever of our puts created it.
   */
  giveUp(key: string, release: Release): void {
    this.#givenUp.delete(key);
    this.#givenUp.set(key, release);
    if (this.#isHistoryLost) this.#addAgain(key, release);
    if (this.#givenUp.size <= MOST_GIVEN_UP) return;
    const [oldest] = this.#givenUp.keys();
    this.#givenUp.delete(oldest!);
  }

  /** etcd has lost its history, so given-up keys may be back with our lease. The next renewal deletes them. */
  historyLost(): void {
    this.#isHistoryLost = true;
    for (const [key, release] of this.#givenUp) this.#addAgain(key, release);
  }

  #addAgain(key: string, release: Release): void {
    this.add(key, release, this.#byKey.get(key)?.repeatUntilMs ?? 0);
  }

  /**
   * Sends the pending delete of this key, before a new candidacy takes the key. After that the delete is no longer
   * pending.
   *
   * @returns until when a late put of the key may still arrive, in milliseconds; 0 if none can.
   * @throws {EtcdError}
   */
  async flush(key: string, limits: CallLimits): Promise<number> {
    this.#givenUp.delete(key);
    const pending = this.#byKey.get(key);
    if (pending === undefined) return 0;
    await pending.release(limits, () => this.#byKey.get(key) === pending);
    this.#byKey.delete(key);
    return pending.repeatUntilMs;
  }

  /**
   * Deletes every key once. The next renewal repeats what fails. Does nothing while an earlier call of this method runs,
   * because on a slow etcd every renewal would add another call.
   *
   * @returns whether etcd has answered every delete.
   */
  async flushAll(limits: CallLimits): Promise<boolean> {
    if (this.#isFlushing) return false;
    this.#isFlushing = true;
    try {
      return await this.#flushEach(limits);
    } finally {
      this.#isFlushing = false;
    }
  }

  async #flushEach(limits: CallLimits): Promise<boolean> {
    for (const [key, pending] of this.#byKey) {
      const isStillPending = (): boolean => this.#byKey.get(key) === pending;
      try {
        await pending.release(limits, isStillPending);
      } catch (error) {
        if (error instanceof EtcdError && error.kind === 'refused') {
          // Nobody knows whether a given-up key exists, so its refused delete is not repeated.
          if (this.#givenUp.get(key) === pending.release) this.#byKey.delete(key);
          continue;
        }
        return false; // etcd does not answer, or the session has ended: the other deletes would fail too
      }
      if (isStillPending() && pending.repeatUntilMs <= clock.now()) this.#byKey.delete(key);
    }
    return true;
  }
}
