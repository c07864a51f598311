import { type Finding, hasRunAway } from './classify.ts';
import type { RunawayReport, Verdict } from '../evidence/report.ts';

/** One problem of the main thread, from the first check that sees it until it is over. */
export class Episode {
  readonly verdict: Finding['verdict'];
  /** The state at the last check. */
  finding: Finding;
  /** Whether a profile of it is being taken, or a report of it was made. */
  isInvestigated = false;
  /** The report, if it was a runaway. */
  report: RunawayReport | undefined;
  endedAt: number | undefined;
  /** Resolves when the problem is over, or has proved to be more than a block. */
  readonly decided: Promise<void>;
  readonly #since: number;
  readonly #runawayMs: number;
  #decide: () => void = () => undefined;

  /** @param runawayMs how long a block may last before it is a runaway. */
  constructor(finding: Finding, at: number, runawayMs: number) {
    this.verdict = finding.verdict;
    this.finding = finding;
    this.#since = at - finding.forMs;
    this.#runawayMs = runawayMs;
    this.decided = new Promise((resolve) => (this.#decide = resolve));
  }

  /** The kind of a report that begins now: `blocked` for a starved loop that has not yet lasted long enough to be a runaway. */
  get expected(): Verdict {
    return this.#isMereBlock ? 'blocked' : this.verdict;
  }

  /** How long the problem has lasted, in milliseconds. */
  get forMs(): number {
    return this.endedAt === undefined ? this.finding.forMs : this.endedAt - this.#since;
  }

  /** Notes the state at a check. */
  see(finding: Finding): void {
    this.finding = finding;
    if (!this.#isMereBlock) this.#decide();
  }

  end(at: number): void {
    this.endedAt = at;
    this.#decide();
  }

  get #isMereBlock(): boolean {
    return this.verdict === 'starved' && !hasRunAway(this.finding, this.#runawayMs);
  }
}
