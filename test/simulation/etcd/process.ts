/** The process of one member: its own clock, and the effects of SIGSTOP, SIGCONT and SIGKILL. */

/** True time, from the code that runs the simulation. */
export interface Scheduler {
  /** Virtual time, in milliseconds. */
  now(): number;
  /**
   * Events of the same moment run in the order of their requests.
   * @returns a function that cancels this one.
   */
  after(ms: number, run: () => void): () => void;
}

/** At least 0, less than 1, from a seed. */
export type Random = () => number;

/** Stopped goroutines continue in any order, each within this many milliseconds. */
const THAW_SPREAD_MS = 3;
const LEAST_MS = 0.001;

export class Process {
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  #rate = 1;
  #rateSinceMs: number;
  #localAtRate = 0;
  /** Changes with every start. Events of an earlier start never run. */
  #incarnation = 0;
  #isUp = false;
  #frozenAtMs: number | undefined;
  #backlog: { readonly lane: string; readonly run: () => void }[] = [];
  readonly #downListeners = new Set<() => void>();

  constructor(scheduler: Scheduler, random: Random) {
    this.#scheduler = scheduler;
    this.#random = random;
    this.#rateSinceMs = scheduler.now();
  }

  get isUp(): boolean {
    return this.#isUp;
  }

  get isFrozen(): boolean {
    return this.#frozenAtMs !== undefined;
  }

  /** Its monotonic clock, in milliseconds. It continues during a freeze. */
  now(): number {
    return this.#localAtRate + (this.#scheduler.now() - this.#rateSinceMs) * this.#rate;
  }

  setRate(rate: number): void {
    this.#localAtRate = this.now();
    this.#rateSinceMs = this.#scheduler.now();
    this.#rate = rate;
  }

  /**
   * @param ms on its own clock.
   * @param lane a loop, a stream or a connection: the real process runs its events one at a time.
   */
  after(ms: number, lane: string, run: () => void): () => void {
    const incarnation = this.#incarnation;
    let isCancelled = false;
    const guarded = (): void => {
      if (!isCancelled && incarnation === this.#incarnation) run();
    };
    // A timer that fires too early by a rounding error is set again, for long enough that time moves on.
    const trueMs = ms > 0 ? Math.max(LEAST_MS, ms / this.#rate) : 0;
    const cancel = this.#scheduler.after(trueMs, () => {
      if (incarnation === this.#incarnation) this.receive(lane, guarded);
    });
    return () => {
      isCancelled = true;
      cancel();
    };
  }

  /** Delivers an event from outside: at once, or when the process continues; never if the process is not running. */
  receive(lane: string, run: () => void): void {
    if (!this.#isUp) return;
    if (this.isFrozen) this.#backlog.push({ lane, run });
    else run();
  }

  freeze(): void {
    if (this.#isUp) this.#frozenAtMs ??= this.now();
  }

  /** @returns how long it was frozen, in milliseconds of its own clock; undefined if it was not. */
  thaw(): number | undefined {
    const sinceMs = this.#frozenAtMs;
    if (sinceMs === undefined) return undefined;
    this.#frozenAtMs = undefined;
    const delays = new Map<string, number>();
    for (const { lane, run } of this.#backlog.splice(0)) {
      const delayMs = delays.get(lane) ?? this.#random() * THAW_SPREAD_MS;
      delays.set(lane, delayMs);
      this.after(delayMs, lane, run);
    }
    return this.now() - sinceMs;
  }

  start(): void {
    this.#isUp = true;
  }

  kill(): void {
    if (!this.#isUp) return;
    this.#isUp = false;
    this.#incarnation++;
    this.#frozenAtMs = undefined;
    this.#backlog = [];
    for (const tell of this.#downListeners) tell();
  }

  onDown(listener: () => void): () => void {
    this.#downListeners.add(listener);
    return () => this.#downListeners.delete(listener);
  }
}
