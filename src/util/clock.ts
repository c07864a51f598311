/**
 * The one place that reads a clock or sets a timer.
 */
import { uptime } from 'node:os';

/** Progress of time as this machine shows it, each in milliseconds, each from a zero of its own. */
export interface Readings {
  /** Never steps, but stands still while the machine is suspended. */
  monotonicMs(): number;
  /** Steps when it is set. */
  wallMs(): number;
  /** Time since boot: counts suspended time, never steps, costs microseconds to read. */
  bootMs(): number;
}

export interface Clock {
  /**
   * Milliseconds that have really passed since some moment: never steps with the wall clock, and counts the
   * time that the machine was suspended. Only differences mean anything.
   */
  now(): number;
  /**
   * Resolves after `ms` milliseconds, or at once when the signal aborts; never rejects, so that the caller
   * looks at the signal rather than at an exception.
   */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

const system: Readings = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  bootMs: () => uptime() * 1000,
};

/**
 * By how much the wall clock must run ahead of the monotonic one before boot time is asked, in milliseconds.
 * Above what NTP slews between two looks, below any margin a lease can have.
 */
const SUSPICION_MS = 40;

/** Boot time is read in steps of 10 ms on Linux; less than this is no suspension. */
const BOOT_STEP_MS = 20;

const LONGEST_TIMER_MS = 2 ** 31 - 1;

/**
 * Calls back once, after `ms` milliseconds.
 *
 * @param isIdle whether the timer keeps no process alive.
 * @returns what keeps it from calling back.
 */
export function after(ms: number, callback: () => void, isIdle = false): () => void {
  // A timer takes NaN, Infinity and too large a number for 1 ms: that would be a hot loop.
  const timer = setTimeout(callback, ms <= LONGEST_TIMER_MS ? Math.max(0, ms) : LONGEST_TIMER_MS);
  if (isIdle) timer.unref();
  return () => clearTimeout(timer);
}

/**
 * As {@link after}, and not before what has arrived by then is taken in: while our own event loop was blocked, no host was
 * silent.
 */
export function afterTurn(ms: number, callback: () => void): () => void {
  let cancelTurn = (): void => undefined;
  const cancelTimer = after(ms, () => (cancelTurn = nextTurn(callback)));
  return () => {
    cancelTimer();
    cancelTurn();
  };
}

/** Calls back in the next turn of the event loop. @returns what keeps it from calling back. */
export function nextTurn(callback: () => void): () => void {
  const turn = setImmediate(callback);
  return () => clearImmediate(turn);
}

export class SystemClock implements Clock {
  readonly #readings: Readings;
  #suspendedMs = 0;
  /** Wall minus monotonic, and boot minus monotonic, when last compared. */
  #wallAhead: number;
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
    if (wallAhead - this.#wallAhead > SUSPICION_MS) {
      // Either the wall clock was set, or the machine slept: boot time knows which.
      const bootAhead = this.#readings.bootMs() - monotonic;
      const slept = bootAhead - this.#bootAhead;
      if (slept > BOOT_STEP_MS) {
        this.#suspendedMs += slept;
        this.#bootAhead = bootAhead;
      }
    }
    if (Math.abs(wallAhead - this.#wallAhead) > SUSPICION_MS) this.#wallAhead = wallAhead;
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
