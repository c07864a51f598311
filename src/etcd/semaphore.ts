import type { Limits } from '../util/settle.ts';
import { WaitingLine } from '../util/waiting-line.ts';

/** Limits how many calls run at once. Waiting calls are served in order. */
export class Semaphore {
  #free: number;
  readonly #line = new WaitingLine<true>();

  constructor(size: number) {
    this.#free = size;
  }

  /**
   * @param limits how long to wait at most. Default: no limit.
   * @param movedAtMs as for {@link WaitingLine.wait}.
   * @returns whether a place was free in time.
   */
  async take(limits: Limits = {}, movedAtMs?: () => number): Promise<boolean> {
    if (this.#free > 0) {
      this.#free--;
      return true;
    }
    return (await this.#line.wait(limits, () => this.give(), movedAtMs)) === true;
  }

  give(): void {
    if (!this.#line.pass(true)) this.#free++;
  }
}
