/**
 * Decides when to report a lasting problem: at its start, when its cause changes, and every minute.
 */
import { clock } from '../util/clock.ts';

const REMIND_EVERY_MS = 60_000;

/** Shortest time between two reports of a changed cause, in milliseconds: two causes may alternate. */
const CAUSE_EVERY_MS = 5_000;

export class Outage {
  #now: { readonly sinceMs: number; reason: string; told: string; toldAtMs: number } | undefined;

  /** The last cause; undefined if there is no problem. */
  get reason(): string | undefined {
    return this.#now?.reason;
  }

  /** Records that the problem exists. @returns its duration in milliseconds if a report is due; otherwise undefined. */
  note(reason: string): number | undefined {
    const nowMs = clock.now();
    if (this.#now === undefined) {
      this.#now = { sinceMs: nowMs, reason, told: reason, toldAtMs: nowMs };
      return 0;
    }
    const now = this.#now;
    now.reason = reason;
    if (nowMs - now.toldAtMs < (reason === now.told ? REMIND_EVERY_MS : CAUSE_EVERY_MS)) return undefined;
    now.told = reason;
    now.toldAtMs = nowMs;
    return nowMs - now.sinceMs;
  }

  /** Records its end. @returns its duration in milliseconds; undefined if there was no problem. */
  over(): number | undefined {
    const before = this.#now;
    this.#now = undefined;
    return before && clock.now() - before.sinceMs;
  }
}
