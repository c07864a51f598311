/**
 * The callbacks of a campaign that is over or about to end. The next campaign of the same candidate waits for them, even if it
 * belongs to another `Election` or to `lead()`.
 */
import type { Callbacks } from './callbacks.ts';
import type { UnfinishedCallbacks } from '../client/active-campaigns.ts';

export class EarlierCallbacks implements UnfinishedCallbacks {
  #callbacks: Callbacks | undefined;
  #before: UnfinishedCallbacks | undefined;
  readonly settled: Promise<void>;

  /**
   * @param settled resolves when these callbacks and all earlier ones have settled.
   * @param before callbacks of the previous campaign, for which this campaign waited.
   */
  constructor(callbacks: Callbacks, settled: Promise<void>, before: UnfinishedCallbacks | undefined) {
    this.#callbacks = callbacks;
    this.#before = before;
    // Drops both, so that a campaign does not keep all earlier ones in memory.
    this.settled = settled.then(() => {
      this.#callbacks = undefined;
      this.#before = undefined;
    });
  }

  get workAfterTermMs(): number {
    return EarlierCallbacks.#longest(this, ({ workAfterTermMs }) => workAfterTermMs);
  }

  get followingMs(): number {
    return EarlierCallbacks.#longest(this, ({ followingMs }) => followingMs);
  }

  /** A loop, because recursion could overflow the stack: as long as work does not settle, every later campaign adds a link to the chain. */
  static #longest(last: UnfinishedCallbacks, of: (callbacks: Callbacks) => number): number {
    let longest = 0;
    let link: UnfinishedCallbacks | undefined = last;
    while (link instanceof EarlierCallbacks) {
      if (link.#callbacks !== undefined) longest = Math.max(longest, of(link.#callbacks));
      link = link.#before;
    }
    return longest;
  }
}
