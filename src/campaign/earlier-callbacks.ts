/**
 * The callbacks of a campaign that is over or about to end. The next campaign of the same candidate waits for them, also if it
 * belongs to another `Election` or to `lead()`.
 */
import type { Callbacks } from './callbacks.ts';
import type { UnfinishedCallbacks } from '../client/active-campaigns.ts';

export class EarlierCallbacks implements UnfinishedCallbacks {
  #callbacks: Callbacks | undefined;
  #before: UnfinishedCallbacks | undefined;
  readonly settled: Promise<void>;

  /**
   * @param settled resolves when these callbacks and those before have settled.
   * @param before callbacks of the campaign before, for which this campaign waited.
   */
  constructor(callbacks: Callbacks, settled: Promise<void>, before: UnfinishedCallbacks | undefined) {
    this.#callbacks = callbacks;
    this.#before = before;
    // Otherwise each campaign would keep all earlier ones in memory.
    this.settled = settled.then(() => {
      this.#callbacks = undefined;
      this.#before = undefined;
    });
  }

  get workAfterTermMs(): number {
    return Math.max(this.#callbacks?.workAfterTermMs ?? 0, this.#before?.workAfterTermMs ?? 0);
  }

  get followingMs(): number {
    return Math.max(this.#callbacks?.followingMs ?? 0, this.#before?.followingMs ?? 0);
  }
}
