/**
 * Decides when to report a lasting problem: at its start, with every new cause, and every minute.
 */
import { clock } from '../util/clock.ts';

const REMIND_EVERY_MS = 60_000;

/** Shortest time between two reports of a new cause, in milliseconds. */
const CAUSE_EVERY_MS = 5_000;

/** How many causes are reported as new in one outage. Causes may alternate without end. */
const MOST_CAUSES = 5;

/** The time that was left for a call differs from try to try. It makes no new cause. */
const TIMES = /\d+ ms/g;

export class Outage {
  #now: { readonly sinceMs: number; reason: string; told: Set<string>; toldAtMs: number } | undefined;

  get reason(): string | undefined {
    return this.#now?.reason;
  }

  /**
   * Records that the problem exists.
   *
   * @param reason the present cause. Default: an empty text.
   * @returns how long the problem has lasted, in milliseconds, if a report is due; otherwise undefined.
   */
  note(reason = ''): number | undefined {
    const nowMs = clock.now();
    const cause = reason.replace(TIMES, '');
    if (this.#now === undefined) {
      this.#now = { sinceMs: nowMs, reason, told: new Set([cause]), toldAtMs: nowMs };
      return 0;
    }
    const now = this.#now;
    now.reason = reason;
    const isNew = !now.told.has(cause) && now.told.size < MOST_CAUSES;
    if (nowMs - now.toldAtMs < (isNew ? CAUSE_EVERY_MS : REMIND_EVERY_MS)) return undefined;
    if (isNew) now.told.add(cause);
    now.toldAtMs = nowMs;
    return nowMs - now.sinceMs;
  }

  /** Records the end of the problem. @returns how long it lasted, in milliseconds; undefined if there was no problem. */
  over(): number | undefined {
    const before = this.#now;
    this.#now = undefined;
    return before && clock.now() - before.sinceMs;
  }
}
