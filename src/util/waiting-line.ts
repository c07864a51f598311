/**
 * A line of callers. Each of them waits until a value, such as a slot, is passed to it.
 */
import { settle, type Limits } from './settle.ts';

export class WaitingLine<T extends {}> {
  readonly #waiting = new Set<(value: T) => void>();

  /**
   * Waits until {@link pass} passes a value to this caller.
   *
   * @param late receives a value that was passed to this caller just as its wait ended.
   * @returns undefined if the limit has passed or the signal has aborted.
   */
  wait(limits: Limits, late: (value: T) => void): Promise<T | undefined> {
    let called!: (value: T) => void;
    const passed = new Promise<T>((resolve) => (called = resolve));
    this.#waiting.add(called);
    return settle(passed, limits, () => {
      if (!this.#waiting.delete(called)) void passed.then(late);
      return undefined;
    });
  }

  /** Passes the value to the caller that has waited longest. @returns false if no caller waits. */
  pass(value: T): boolean {
    const [next] = this.#waiting;
    if (next === undefined) return false;
    this.#waiting.delete(next);
    next(value);
    return true;
  }
}
