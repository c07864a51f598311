/**
 * Reports, at growing intervals, that we still wait to lead. A program may wait in `campaign()` without knowing it.
 */
import { after, clock } from '../util/clock.ts';

/** After which times the wait is reported, in milliseconds. After the last of these times, the wait is reported every hour. */
const REPORTED_AFTER_MS = [5_000, 60_000, 600_000] as const;
const HOUR_MS = 3_600_000;

export class LongWait {
  #sinceMs: number | undefined;
  #dueMs: number = REPORTED_AFTER_MS[0];
  #cancel = (): void => undefined;

  /** Begins a wait, or continues it after {@link pause}. @param tell reports how long the wait has lasted, in milliseconds. */
  begin(tell: (waitedMs: number) => void): void {
    this.#cancel();
    const sinceMs = (this.#sinceMs ??= clock.now());
    const due = (): void => {
      const waitedMs = Math.max(this.#dueMs, clock.now() - sinceMs); // a timer can be early by a fraction
      this.#dueMs = nextAfter(waitedMs);
      tell(waitedMs);
      this.begin(tell);
    };
    this.#cancel = after(sinceMs + this.#dueMs - clock.now(), due, true);
  }

  /** Stops the reports, because we have lost our place, or the campaign must end. */
  pause(): void {
    this.#cancel();
  }

  end(): void {
    this.#cancel();
    this.#sinceMs = undefined;
    this.#dueMs = REPORTED_AFTER_MS[0];
  }
}

/** When the next report is due, in milliseconds from the start. Skips reports that were missed while the machine slept. */
const nextAfter = (waitedMs: number): number =>
  REPORTED_AFTER_MS.find((ms) => ms > waitedMs) ?? (Math.floor(waitedMs / HOUR_MS) + 1) * HOUR_MS;
