import { type Verdict, type RunawayReport, isRunaway } from '../evidence/report.ts';

/** How many reports of each kind are kept. */
const REMEMBERED = 20;

/** Puts a report first, and drops the oldest ones beyond {@link REMEMBERED}. */
export function remember(reports: RunawayReport[], report: RunawayReport): void {
  reports.unshift(report);
  reports.length = Math.min(reports.length, REMEMBERED);
}

/** The reports of the watchdog, newest first, and their number since the start. */
export class Reports {
  readonly runaways: RunawayReport[] = [];
  /** Reports that are no runaways: long blocks that are over, and saturated loops. */
  readonly notices: RunawayReport[] = [];
  readonly counts: Record<Verdict, number> = { starved: 0, hot: 0, rounds: 0, blocked: 0, saturated: 0 };
  readonly #reportedAt = new Map<string, number>();
  readonly #cooldownMs: number;

  constructor(cooldownMs: number) {
    this.#cooldownMs = cooldownMs;
  }

  /** Whether this kind may be reported now. If so, it may not be reported again for `cooldownMs`. */
  take(kind: string, now: number): boolean {
    if (now - (this.#reportedAt.get(kind) ?? -Infinity) < this.#cooldownMs) return false;
    if (this.#reportedAt.size >= 1000) this.#reportedAt.clear(); // elections come and go; keep the table small
    this.#reportedAt.set(kind, now);
    return true;
  }

  /** Undoes {@link take}, because nothing was reported. */
  giveBack(kind: string): void {
    this.#reportedAt.delete(kind);
  }

  count(verdict: Verdict): void {
    this.counts[verdict]++;
  }

  add(report: RunawayReport): void {
    remember(isRunaway(report.verdict) ? this.runaways : this.notices, report);
  }

  /** Removes a report that is over. It is added again with its final kind. */
  remove(report: RunawayReport): void {
    const index = this.runaways.indexOf(report);
    if (index !== -1) this.runaways.splice(index, 1);
  }
}
