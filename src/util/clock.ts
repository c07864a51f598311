/**
 * The clock and the timers of elections. The code of elections reads clocks and sets timeouts only through this file.
 */
import { uptime } from 'node:os';

/** The clocks of this machine, in milliseconds. Each has its own zero. */
export interface Readings {
  /** Never steps, but stops while the machine is suspended. */
  monotonicMs(): number;
  /** Steps when the wall clock is set. */
  wallMs(): number;
  /** Time since boot: counts suspended time, never steps, costs microseconds to read. */
  bootMs(): number;
}

export interface Clock {
  /**
   * Elapsed time since some moment, in milliseconds. It includes the time in which the machine was suspended, and does
   * not step with the wall clock. Only differences have a meaning.
   */
  now(): number;
  /** Resolves after `ms` milliseconds, or at once when the signal aborts. Never rejects. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

const system: Readings = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  bootMs: () => uptime() * 1000,
};

/**
 * The time since boot is read when the wall clock has gained or lost more than this on the monotonic clock. This limit is
 * less than any margin of a lease.
 */
const SUSPICION_MS = 40;

/**
 * The machine was suspended if the time since boot has gained more than this on the monotonic clock. On Linux, the time since
 * boot advances in steps of 10 ms.
 */
const BOOT_STEP_MS = 20;

const LONGEST_TIMER_MS = 2 ** 31 - 1;

/**
 * Calls back once, after `ms` milliseconds.
 *
 * @param isIdle whether the process may end although the timer is set.
 * @returns a function that cancels the timer.
 */
export function after(ms: number, callback: () => void, isIdle = false): () => void {
  // Node turns NaN, Infinity and too large a number into 1 ms, which could make a hot loop.
  const timer = setTimeout(callback, ms <= LONGEST_TIMER_MS ? Math.max(0, ms) : LONGEST_TIMER_MS);
  // In the jsdom environments of test runners a timer is a number.
  if (isIdle) (timer as Partial<NodeJS.Timeout>).unref?.();
  return () => clearTimeout(timer);
}

/**
 * Like {@link after}, but lets the event loop process pending input first. Otherwise a blocked event loop would make a
 * host look silent.
 */
export function afterTurn(ms: number, callback: () => void): () => void {
  let cancelTurn = (): void => undefined;
  const cancelTimer = after(ms, () => (cancelTurn = nextTurn(callback)));
  return () => {
    cancelTimer();
    cancelTurn();
  };
}

/**
 * Calls back after the timers and the input that are due now, by `setImmediate`. @returns a function that cancels the
 * call.
 */
export function nextTurn(callback: () => void): () => void {
  let isCancelled = false;
  setImmediate(() => {
    if (!isCancelled) callback();
  });
  // Polyfills of setImmediate, which gRPC needs under jsdom, may lack clearImmediate.
  return () => void (isCancelled = true);
}

export const untilNextTurn = (): Promise<void> => new Promise((resolve) => void nextTurn(resolve));

export class SystemClock implements Clock {
  readonly #readings: Readings;
  #suspendedMs = 0;
  /** Wall minus monotonic, at the start or at the last change by more than `SUSPICION_MS`. */
  #wallAhead: number;
  /** Boot minus monotonic, at the start or after the last suspension that we found. */
  #bootAhead: number;

  constructor(readings: Readings = system) {
    this.#readings = readings;
    const monotonic = readings.monotonicMs();
    this.#wallAhead = readings.wallMs() - monotonic;
    this.#bootAhead = readings.bootMs() - monotonic;
  }

  now(): number {
    const monotonic = this.#readings.monotonicMs();
    const wallAhead = this.#readings.wallMs() - monotonic;
    if (Math.abs(wallAhead - this.#wallAhead) > SUSPICION_MS) {
      this.#wallAhead = wallAhead;
      // The wall clock was set, or the machine was suspended, or both.
      const bootAhead = this.#readings.bootMs() - monotonic;
      const slept = bootAhead - this.#bootAhead;
      if (slept > BOOT_STEP_MS) {
        this.#suspendedMs += slept;
        this.#bootAhead = bootAhead;
      }
    }
    return monotonic + this.#suspendedMs;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      const done = (): void => {
        cancelTimer();
        signal?.removeEventListener('abort', done);
        resolve();
      };
      const cancelTimer = after(ms, done);
      signal?.addEventListener('abort', done, { once: true });
    });
  }
}

export const clock: Clock = new SystemClock();
