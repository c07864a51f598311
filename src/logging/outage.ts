/**
 * Something that is wrong and stays so: when it is due to be told. At first, when its cause changes, and each minute.
 */
import { clock } from '../util/clock.ts';

const REMIND_EVERY_MS = 60_000;

/** Two causes that take turns are not told each time, in milliseconds. */
const CAUSE_EVERY_MS = 5_000;

export class Outage {
  #now: { readonly sinceMs: number; reason: string; told: string; toldAtMs: number } | undefined;

  /** What was wrong last; undefined while nothing is. */
  get reason(): string | undefined {
    return this.#now?.reason;
  }

  /** It is wrong, for this reason. @returns for how long by now, in milliseconds, if that is due to be told. */
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

  /** It is over. @returns for how long it lasted, in milliseconds; undefined if nothing was wrong. */
  over(): number | undefined {
    const before = this.#now;
    this.#now = undefined;
    return before && clock.now() - before.sinceMs;
  }
}
