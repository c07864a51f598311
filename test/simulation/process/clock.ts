/**
 * The clocks of one process, which need not agree with true time: they run at a rate of their own, the wall clock can be
 * set, and all but boot time stand still while the machine is suspended.
 */
export class ProcessClock {
  readonly #trueNow: () => number;
  readonly #startedWallMs: number;
  #rate: number;
  /** Where monotonic and boot time stood when the rate or the state last changed, and when that was. */
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

  /** Local milliseconds since the process began. Stands still while the machine is suspended. */
  monotonicMs(atTrueMs: number = this.#trueNow()): number {
    return this.#monotonicMs + (this.#isSuspended ? 0 : (atTrueMs - this.#sinceMs) * this.#rate);
  }

  bootMs(): number {
    return this.#bootMs + (this.#trueNow() - this.#sinceMs) * this.#rate;
  }

  wallMs(): number {
    return this.#startedWallMs + this.bootMs() + this.#stepMs;
  }

  /** When the monotonic clock will show this, in true time. */
  trueTimeOf(monotonicMs: number): number {
    return this.#sinceMs + (monotonicMs - this.#monotonicMs) / this.#rate;
  }

  setRate(rate: number): void {
    this.#settle();
    this.#rate = rate;
  }

  /** Somebody sets the wall clock. */
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
