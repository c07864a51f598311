import { type Finding, hasRunAway } from './classify.ts';
import type { RunawayReport, Verdict } from '../evidence/report.ts';

/** One problem of the main thread, from the first check that sees it until it is over. */
export class Episode {
  readonly verdict: Finding['verdict'];
  finding: Finding;
  /** Whether a profile is being taken, or a report was made. */
  isInvestigated = false;
  report: RunawayReport | undefined;
  endedAt: number | undefined;
  /** Resolves when the problem is over, or is more than a block. */
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

  /** The verdict at present: `blocked` for a starved loop that has not lasted long enough to be a runaway. */
  get expected(): Verdict {
    return this.#isMereBlock ? 'blocked' : this.verdict;
  }

  get forMs(): number {
    return this.endedAt === undefined ? this.finding.forMs : this.endedAt - this.#since;
  }

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
