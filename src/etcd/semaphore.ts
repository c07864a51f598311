import { settle } from '../util/settle.ts';

/** Bounds how many calls are under way at once; those that wait go in order. */
export class Semaphore {
  #free: number;
  readonly #waiting = new Set<() => void>();

  constructor(size: number) {
    this.#free = size;
  }

  /**
   * Waits for a place.
   *
   * @param withinMs gives up after so many milliseconds; without it waits as long as it takes.
   * @returns whether there was one.
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
