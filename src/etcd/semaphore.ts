import { settle } from '../util/settle.ts';

/** Limits how many calls run at once. Waiting calls are served in order. */
export class Semaphore {
  #free: number;
  readonly #waiting = new Set<() => void>();

  constructor(size: number) {
    this.#free = size;
  }

  /**
   * Waits for a place.
   *
   * @param withinMs how long to wait at most, in milliseconds. Default: no limit.
   * @returns whether a place was free in time.
   */
  async take(withinMs?: number): Promise<boolean> {
    if (this.#free > 0) {
      this.#free--;
      return true;
    }
    let called!: () => void;
    const turn = new Promise<boolean>((resolve) => (called = () => resolve(true)));
    this.#waiting.add(called);
    return await settle(turn, { withinMs }, () => {
      this.#waiting.delete(called);
      return false;
    });
  }

  give(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#free++;
      return;
    }
    this.#waiting.delete(next);
    next();
  }
}
