/**
 * Remembers the keys that must still be deleted: their release was not acknowledged, or a late put may create them again. Other
 * elections may keep the lease alive, and then a forgotten key would lead although no replica holds it.
 */
import { EtcdError } from '../etcd/etcd-error.ts';
import type { CallLimits } from '../etcd/transport.ts';
import { clock } from '../util/clock.ts';

/** Deletes our key, whichever of our puts created it. @throws {EtcdError} */
export type Release = (limits: CallLimits, isStillPending: () => boolean) => Promise<void>;

interface PendingDelete {
  readonly release: Release;
  /** The delete is repeated until this time, because a late put may arrive. 0: no repeat. In milliseconds. */
  readonly repeatUntilMs: number;
}

export class PendingDeletes {
  readonly #byKey = new Map<string, PendingDelete>();
  #isFlushing = false;

  /** @param repeatUntilMs until when an unanswered put may still arrive, in milliseconds; 0 if none can. */
  add(key: string, release: Release, repeatUntilMs: number): void {
    this.#byKey.set(key, { release, repeatUntilMs });
  }

  /**
   * Deletes the key now, if it is pending. It is then no longer pending: later retries are up to the caller.
   *
   * @returns until when a late put of the key may still arrive; 0 if none can.
   * @throws {EtcdError}
   */
  async flush(key: string, limits: CallLimits): Promise<number> {
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
        if (error instanceof EtcdError && error.kind === 'refused') continue;
        return; // etcd does not answer, or the session has ended: the others would fail too
      }
      if (isStillPending() && pending.repeatUntilMs <= clock.now()) this.#byKey.delete(key);
    }
  }
}
