/**
 * Remembers the keys that must still be deleted: their release was not acknowledged, or a late put or a restored snapshot may create
 * them again. Other elections may keep the lease alive, and then a forgotten key would lead although no replica holds it.
 */
import { EtcdError } from '../etcd/etcd-error.ts';
import type { CallLimits } from '../etcd/transport.ts';
import { clock } from '../util/clock.ts';

/** Deletes our key: the key of one put, or whichever of our puts created it. @throws {EtcdError} */
export type Release = (limits: CallLimits, isStillPending: () => boolean) => Promise<void>;

interface PendingDelete {
  readonly release: Release;
  /** The delete is repeated until this time, because a late put may arrive. 0: no repeat. In milliseconds. */
  readonly repeatUntilMs: number;
}

/** How many given-up keys are remembered, because a restored snapshot may bring them back. Most likely it brings back those given up last. */
const MOST_GIVEN_UP = 1_000;

export class PendingDeletes {
  readonly #byKey = new Map<string, PendingDelete>();
  /** The keys that were given up, the last at the end. No candidacy holds them. */
  readonly #givenUp = new Map<string, Release>();
  #isHistoryLost = false;
  #isFlushing = false;

  /** @param repeatUntilMs until when an unanswered put may still arrive, in milliseconds; 0 if none can. */
  add(key: string, release: Release, repeatUntilMs: number): void {
    // After a lost history the key may be from an earlier put. The delete of one candidacy would miss it.
    const all = this.#isHistoryLost ? this.#givenUp.get(key) : undefined;
    this.#byKey.set(key, { release: all ?? release, repeatUntilMs });
  }

  /**
   * A candidacy gave up this key. If etcd loses its history, the key may come back.
   *
   * @param release deletes the key then, whichever of our puts created it.
   */
  giveUp(key: string, release: Release): void {
    this.#givenUp.delete(key);
    this.#givenUp.set(key, release);
    // The key that came back may be from an earlier put of ours. The candidacy's own delete compares the creation revision, so it would miss
    // that key.
    if (this.#isHistoryLost) this.#addAgain(key, release);
    if (this.#givenUp.size <= MOST_GIVEN_UP) return;
    const [oldest] = this.#givenUp.keys();
    this.#givenUp.delete(oldest!);
  }

  /** etcd has lost its history: keys that were given up may be back, with our lease. The next renewal deletes them. */
  historyLost(): void {
    this.#isHistoryLost = true;
    for (const [key, release] of this.#givenUp) this.#addAgain(key, release);
  }

  #addAgain(key: string, release: Release): void {
    this.add(key, release, this.#byKey.get(key)?.repeatUntilMs ?? 0);
  }

  /**
   * Called before a new candidacy takes the key. If its delete is pending, sends that delete now. It is then no longer pending, and
   * later retries are up to the caller.
   *
   * @returns until when a late put of the key may still arrive; 0 if none can.
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
   * Deletes every key once. The next renewal repeats what fails here. One refused key does not stop the others. Does nothing while
   * an earlier call still runs: on a slow etcd, every renewal would add one more.
   */
  async flushAll(limits: CallLimits): Promise<void> {
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    try {
      await this.#flushEach(limits);
    } finally {
      this.#isFlushing = false;
    }
  }

  async #flushEach(limits: CallLimits): Promise<void> {
    for (const [key, pending] of this.#byKey) {
      const isStillPending = (): boolean => this.#byKey.get(key) === pending;
      try {
        await pending.release(limits, isStillPending);
      } catch (error) {
        if (error instanceof EtcdError && error.kind === 'refused') {
          // We do not know that this key exists: a late put or a lost history may create it. So do not repeat a refused delete.
          if (this.#givenUp.get(key) === pending.release) this.#byKey.delete(key);
          continue;
        }
        return; // etcd does not answer, or the session has ended: the others would fail too
      }
      if (isStillPending() && pending.repeatUntilMs <= clock.now()) this.#byKey.delete(key);
    }
  }
}
