import { type Verdict, type RunawayReport, isRunaway } from '../evidence/report.ts';

const REMEMBERED = 20;

/** How many kinds of report to remember for the cooldown. For `rounds`, every election is a kind of its own. */
const MOST_KINDS = 16_384;

/** Puts a report first, and drops old reports beyond {@link REMEMBERED}. */
export function remember(reports: RunawayReport[], report: RunawayReport): void {
  reports.unshift(report);
  reports.length = Math.min(reports.length, REMEMBERED);
}

/** The last reports of the watchdog, newest first. */
export class Reports {
  readonly runaways: RunawayReport[] = [];
  /** Long blocks that are over, and saturated loops. */
  readonly notices: RunawayReport[] = [];
  /** How many reports of each verdict were made since the start. */
  readonly counts: Record<Verdict, number> = { starved: 0, hot: 0, rounds: 0, blocked: 0, saturated: 0 };
  /** When a report of each kind was last made. The oldest comes first. */
  readonly #reportedAt = new Map<string, number>();
  readonly #cooldownMs: number;

  constructor(cooldownMs: number) {
    this.#cooldownMs = cooldownMs;
  }

  /** Whether the last report of this kind is at least `cooldownMs` old. */
  mayReport(kind: string, now: number): boolean {
    return now - (this.#reportedAt.get(kind) ?? -Infinity) >= this.#cooldownMs;
  }

  reported(kind: string, now: number): void {
    this.#reportedAt.delete(kind);
    this.#reportedAt.set(kind, now); // at the end of the Map
    if (this.#reportedAt.size > MOST_KINDS) this.#reportedAt.delete(this.#reportedAt.keys().next().value!);
  }

  count(verdict: Verdict): void {
    this.counts[verdict]++;
  }

  add(report: RunawayReport): void {
    remember(isRunaway(report.verdict) ? this.runaways : this.notices, report);
  }

  /** Removes the report of a problem that is over. The caller adds it again with its final verdict. */
  remove(report: RunawayReport): void {
    const index = this.runaways.indexOf(report);
    if (index !== -1) this.runaways.splice(index, 1);
  }
}
