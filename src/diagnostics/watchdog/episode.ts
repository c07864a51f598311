import type { Finding } from './classify.ts';
import type { RunawayReport } from '../evidence/report.ts';

/** One stretch of trouble, from when it is seen until it is over. */
export class Episode {
  /** As seen at the last look. */
  finding: Finding;
  /** What was reported of it, if it was a runaway. */
  report: RunawayReport | undefined;
  endedAt: number | undefined;
  /** Resolves as soon as it is known whether this lasts or is over. */
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

  /** For how long it has been, in milliseconds. */
  get forMs(): number {
    return this.endedAt === undefined ? this.finding.forMs : this.endedAt - this.#since;
  }

  /** It has lasted too long for a mere block. */
  lasts(): void {
    this.#decide();
  }

  end(at: number): void {
    this.endedAt = at;
    this.#decide();
  }
}
