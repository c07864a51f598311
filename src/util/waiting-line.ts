/**
 * A line of callers. Each of them waits until a value, such as a slot, is passed to it.
 */
import { clock } from './clock.ts';
import { settle, type Limits } from './settle.ts';

export class WaitingLine<T extends {}> {
  readonly #waiting = new Set<(value: T) => void>();

  /**
   * Waits until {@link pass} passes a value to this caller.
   *
   * @param late receives a value that was passed to this caller just as its wait ended.
   * @param movedAtMs says when the line last moved. A line that moved within the limit gives the caller another limit, at
   *   the same place. Default: the line does not move.
   * @returns undefined if the limit has passed or the signal has aborted.
   */
  async wait(
    limits: Limits,
    late: (value: T) => void,
    movedAtMs: () => number = () => -Infinity,
  ): Promise<T | undefined> {
    let called!: (value: T) => void;
    const passed = new Promise<T>((resolve) => (called = resolve));
    this.#waiting.add(called);
    for (let sinceMs = clock.now(); ; sinceMs = clock.now()) {
      const value = await settle(passed, limits, () => undefined);
      if (value !== undefined) return value;
      if (limits.signal?.aborted === true || movedAtMs() < sinceMs) break;
    }
    if (!this.#waiting.delete(called)) void passed.then(late);
    return undefined;
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
