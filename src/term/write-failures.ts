/**
 * Reports failing writes under a term: the first failure at once, then the number of failures every minute, and the rest when
 * the term ends.
 */
import { clock } from '../util/clock.ts';

const REMIND_EVERY_MS = 60_000;

export interface WriteFailure {
  readonly reason: string;
  /** Whether etcd may have written it all the same. */
  readonly isOutcomeUnknown: boolean;
}

/** Failures since the last report. */
export interface FailureCounts {
  readonly failures: number;
  readonly unknownOutcomes: number;
  /** Of the last one. */
  readonly reason: string;
}

const NONE: FailureCounts = { failures: 0, unknownOutcomes: 0, reason: '' };

export class WriteFailures {
  readonly #tell: (counts: FailureCounts) => void;
  #counts = NONE;
  #toldAtMs: number | undefined;

  constructor(tell: (counts: FailureCounts) => void) {
    this.#tell = tell;
  }

  failed({ reason, isOutcomeUnknown }: WriteFailure): void {
    const { failures, unknownOutcomes } = this.#counts;
    this.#counts = {
      failures: failures + 1,
      unknownOutcomes: unknownOutcomes + Number(isOutcomeUnknown),
      reason,
    };
    if (this.#toldAtMs === undefined || clock.now() - this.#toldAtMs >= REMIND_EVERY_MS) this.#report();
  }

  /** The term has ended. */
  ended(): void {
    if (this.#counts.failures > 0) this.#report();
  }

  #report(): void {
    this.#toldAtMs = clock.now();
    this.#tell(this.#counts);
    this.#counts = NONE;
  }
}
