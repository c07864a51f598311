import type { Stretch } from './evidence.ts';
import { lengthWithin } from './checker.ts';
import { nowMs } from './history.ts';

const TICK_MS = 20;

/** A timer that is late by less is no sign of a stall, in milliseconds. */
const USUAL_MS = 10;

/**
 * How long a busy machine kept the processes of a lab waiting. It is measured in the process that holds their networks, by how
 * late a timer fires. A quiet machine has none.
 */
export class MachineNoise {
  readonly #stalls: Stretch[] = [];
  readonly #timer: NodeJS.Timeout;
  #dueAtMs = nowMs() + TICK_MS;

  constructor() {
    this.#timer = setInterval(() => {
      const toMs = nowMs();
      if (toMs - this.#dueAtMs > USUAL_MS) this.#stalls.push({ fromMs: this.#dueAtMs, toMs });
      this.#dueAtMs = toMs + TICK_MS;
    }, TICK_MS);
    this.#timer.unref();
  }

  /** In milliseconds. Includes a stall whose end the timer has not seen yet. */
  within(stretch: Stretch): number {
    const present = { fromMs: this.#dueAtMs, toMs: Math.max(this.#dueAtMs, nowMs()) };
    let sum = lengthWithin(present, stretch);
    for (let at = this.#stalls.length - 1; at >= 0; at--) {
      const stall = this.#stalls[at]!;
      if (stall.toMs < stretch.fromMs) break; // so are all before it
      sum += lengthWithin(stall, stretch);
    }
    return sum;
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
