/**
 * The callbacks of the last campaign of a candidate, until they have settled. The next campaign of the candidate waits for them,
 * even if it belongs to another `Election` or to `lead()`.
 */
import type { UnfinishedCallbacks } from '../client/active-campaigns.ts';
import { sharedAbort, untilAborted, untilAny } from '../util/abort.ts';
import type { Callbacks } from './callbacks.ts';

export class EarlierCallbacks implements UnfinishedCallbacks {
  /** Dropped when they have settled, to free memory. */
  #callbacks: Callbacks | undefined;
  readonly #settled = sharedAbort();

  /** @param settled resolves when these callbacks have settled. */
  constructor(callbacks: Callbacks, settled: Promise<void>) {
    this.#callbacks = callbacks;
    void settled.then(() => {
      this.#callbacks = undefined;
      this.#settled.abort();
    });
  }

  get isSettled(): boolean {
    return this.#settled.signal.aborted;
  }

  /** Gives each caller its own promise. A shared promise that never settles would keep all its callers in memory. */
  settled(signal: AbortSignal): Promise<void> {
    return untilAny([this.#settled.signal, signal], untilAborted);
  }

  get workAfterTermMs(): number {
    return this.#callbacks?.workAfterTermMs ?? 0;
  }

  get followingMs(): number {
    return this.#callbacks?.followingMs ?? 0;
  }
}
