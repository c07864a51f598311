import type { Finding } from './classify.ts';
import type { RunawayReport } from '../evidence/report.ts';

/** One problem of the main thread, from the first check that sees it until it is over. */
export class Episode {
  /** The state at the last check. */
  finding: Finding;
  /** The report, if it was a runaway. */
  report: RunawayReport | undefined;
  endedAt: number | undefined;
  /** Resolves as soon as it is known whether the problem lasts or is over. */
  readonly decided: Promise<void>;
  readonly #since: number;
  #decide: () => void = () => undefined;

  constructor(finding: Finding, at: number) {
    this.finding = finding;
    this.#since = at - finding.forMs;
    this.decided = new Promise((resolve) => (this.#decide = resolve));
  }

  get verdict(): Finding['verdict'] {
    return this.finding.verdict;
  }

  /** How long the problem has lasted, in milliseconds. */
  get forMs(): number {
    return this.endedAt === undefined ? this.finding.forMs : this.endedAt - this.#since;
  }

  /** The problem has lasted longer than a block may. */
  lasts(): void {
    this.#decide();
  }

  end(at: number): void {
    this.endedAt = at;
    this.#decide();
  }
}
