/**
 * Reports failing writes under a term. The first failure is reported at once. After that, a failure is reported at most
 * once a minute, with the number of failures since the last report. The rest is reported at the end of the term, and
 * after its drain. Failures after the drain are reported together, in the next turn of the event loop.
 */
import { Outage } from '../logging/outage.ts';
import { nextTurn } from '../util/clock.ts';

export interface WriteFailure {
  readonly reason: string;
  /** Whether etcd may have committed the write anyway. */
  readonly isOutcomeUnknown: boolean;
}

/** Failures since the last report. */
export interface FailureCounts {
  readonly failures: number;
  readonly unknownOutcomes: number;
  /** The reason of the last failure. */
  readonly reason: string;
}

const NONE: FailureCounts = { failures: 0, unknownOutcomes: 0, reason: '' };

export class WriteFailures {
  readonly #tell: (counts: FailureCounts) => void;
  #counts = NONE;
  readonly #outage = new Outage();
  #hasEnded = false;
  #isDue = false;

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
    if (this.#outage.note() !== undefined) this.#report();
    else if (this.#hasEnded) this.#reportSoon();
  }

  /** The term is over, and its drain begins. */
  draining(): void {
    this.#report();
  }

  /** No write begins any more. */
  ended(): void {
    this.#hasEnded = true;
    this.#report();
  }

  #reportSoon(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    nextTurn(() => {
      this.#isDue = false;
      this.#report();
    });
  }

  #report(): void {
    if (this.#counts.failures === 0) return;
    this.#tell(this.#counts);
    this.#counts = NONE;
  }
}
