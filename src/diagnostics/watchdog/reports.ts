import { type Verdict, type RunawayReport, isRunaway } from '../evidence/report.ts';

/** How many runaways are kept, and how many notices. */
const REMEMBERED = 20;

/** How many kinds are remembered for the cooldown. For `rounds`, every election counts as a kind of its own. */
const MOST_KINDS = 16_384;

/** Puts a report first, and drops the oldest ones beyond {@link REMEMBERED}. */
export function remember(reports: RunawayReport[], report: RunawayReport): void {
  reports.unshift(report);
  reports.length = Math.min(reports.length, REMEMBERED);
}

/** The reports of the watchdog, newest first, and their number since the start. */
export class Reports {
  readonly runaways: RunawayReport[] = [];
  /** Notices: long blocks that are over, and saturated loops. */
  readonly notices: RunawayReport[] = [];
  readonly counts: Record<Verdict, number> = { starved: 0, hot: 0, rounds: 0, blocked: 0, saturated: 0 };
  /** When a report of a kind was last made. The oldest comes first. */
  readonly #reportedAt = new Map<string, number>();
  readonly #cooldownMs: number;

  constructor(cooldownMs: number) {
    this.#cooldownMs = cooldownMs;
  }

  /** @returns whether the last report of this kind is at least `cooldownMs` old. */
  mayReport(kind: string, now: number): boolean {
    return now - (this.#reportedAt.get(kind) ?? -Infinity) >= this.#cooldownMs;
  }

  /** Records that a report of this kind is made. */
  reported(kind: string, now: number): void {
    this.#reportedAt.delete(kind);
    this.#reportedAt.set(kind, now); // at the end, because a Map keeps the order of insertion
    if (this.#reportedAt.size > MOST_KINDS) this.#reportedAt.delete(this.#reportedAt.keys().next().value!);
  }

  count(verdict: Verdict): void {
    this.counts[verdict]++;
  }

  add(report: RunawayReport): void {
    remember(isRunaway(report.verdict) ? this.runaways : this.notices, report);
  }

  /** Removes the report of a problem that is over. The caller adds it again with its final kind. */
  remove(report: RunawayReport): void {
    const index = this.runaways.indexOf(report);
    if (index !== -1) this.runaways.splice(index, 1);
  }
}
