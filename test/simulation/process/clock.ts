/**
 * The clocks of one process, which may differ from true time. They have their own rate, the wall clock can be
 * set, and all but boot time stand still while the machine is suspended.
 */
export class ProcessClock {
  readonly #trueNow: () => number;
  readonly #startedWallMs: number;
  #rate: number;
  /** Monotonic and boot time at the last change of rate or state, and the time of that change. */
  #monotonicMs: number;
  #bootMs: number;
  #sinceMs: number;
  #stepMs = 0;
  #isSuspended = false;

  constructor(trueNow: () => number, { rate, bootMs }: { readonly rate: number; readonly bootMs: number }) {
    this.#trueNow = trueNow;
    this.#rate = rate;
    this.#sinceMs = trueNow();
    this.#monotonicMs = 0;
    this.#bootMs = bootMs;
    this.#startedWallMs = 1_800_000_000_000 + this.#sinceMs - bootMs;
  }

  /** Local milliseconds since the start of the process. It stands still while the machine is suspended. */
  monotonicMs(atTrueMs: number = this.#trueNow()): number {
    return this.#monotonicMs + (this.#isSuspended ? 0 : (atTrueMs - this.#sinceMs) * this.#rate);
  }

  bootMs(atTrueMs: number = this.#trueNow()): number {
    return this.#bootMs + (atTrueMs - this.#sinceMs) * this.#rate;
  }

  wallMs(atTrueMs: number = this.#trueNow()): number {
    return this.#startedWallMs + this.bootMs(atTrueMs) + this.#stepMs;
  }

  /** The true time at which the monotonic clock will show this. */
  trueTimeOf(monotonicMs: number): number {
    return this.#sinceMs + (monotonicMs - this.#monotonicMs) / this.#rate;
  }

  setRate(rate: number): void {
    this.#settle();
    this.#rate = rate;
  }

  /** Sets the wall clock. */
  step(ms: number): void {
    this.#stepMs += ms;
  }

  suspend(): void {
    this.#settle();
    this.#isSuspended = true;
  }

  wake(): void {
    this.#settle();
    this.#isSuspended = false;
  }

  #settle(): void {
    const now = this.#trueNow();
    this.#monotonicMs = this.monotonicMs(now);
    this.#bootMs += (now - this.#sinceMs) * this.#rate;
    this.#sinceMs = now;
  }
}
