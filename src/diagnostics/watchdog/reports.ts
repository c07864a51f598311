import { type Verdict, type RunawayReport, isRunaway } from '../evidence/report.ts';

/** How many reports of each kind are kept. */
const REMEMBERED = 20;

/** Puts a report first, and forgets the oldest beyond {@link REMEMBERED}. */
export function remember(reports: RunawayReport[], report: RunawayReport): void {
  reports.unshift(report);
  reports.length = Math.min(reports.length, REMEMBERED);
}

/** What the watchdog has reported: newest first, and how often since the start. */
export class Reports {
  readonly runaways: RunawayReport[] = [];
  /** What is no runaway: a long block that is over, a loop with more work than it can do. */
  readonly notices: RunawayReport[] = [];
  readonly counts: Record<Verdict, number> = { starved: 0, hot: 0, rounds: 0, blocked: 0, saturated: 0 };
  readonly #reportedAt = new Map<string, number>();
  readonly #cooldownMs: number;

  constructor(cooldownMs: number) {
    this.#cooldownMs = cooldownMs;
  }

  /** Whether this kind may be reported now; if so, it may not again for `cooldownMs`. */
  take(kind: string, now: number): boolean {
    if (now - (this.#reportedAt.get(kind) ?? -Infinity) < this.#cooldownMs) return false;
    if (this.#reportedAt.size >= 1000) this.#reportedAt.clear(); // elections come and go; keep the table small
    this.#reportedAt.set(kind, now);
    return true;
  }

  /** Nothing was reported after all: the next one may be. */
  giveBack(kind: string): void {
    this.#reportedAt.delete(kind);
  }

  count(verdict: Verdict): void {
    this.counts[verdict]++;
  }

  add(report: RunawayReport): void {
    remember(isRunaway(report.verdict) ? this.runaways : this.notices, report);
  }

  /** Takes a report out of the list: it is over, and is added again as what it was. */
  remove(report: RunawayReport): void {
    const index = this.runaways.indexOf(report);
    if (index !== -1) this.runaways.splice(index, 1);
  }
}
