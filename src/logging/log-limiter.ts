/**
 * Limits the log lines of successive elections under different names.
 *
 * A quota for every name does not limit a loop that invents a name in every round. The elections of such a loop follow
 * each other, while those of an ordinary program run side by side. So every running election also has a lane with its
 * own quota. A new election takes over the lane of an ended one, with the rest of its quota. If no election has ended,
 * the new one gets a new lane.
 */
import {
  fullQuota,
  lastOfTheBurst,
  OF_ERRORS,
  OF_TERMS,
  type LogQuota,
  type LogRate,
} from '../core/log-quota.ts';
import { newElectionLimiter } from '../loop-guard/new-elections.ts';
import { sharedBy } from '../loop-guard/registry.ts';
import { clock } from '../util/clock.ts';

export interface LogShare {
  now: LogQuota;
}

export interface LogLane extends LogShare {
  /** An extra quota for the lines of terms. */
  readonly terms: LogShare;
  /** An extra quota for errors. */
  readonly errors: LogShare;
}

const MOST_FREE_LANES = 16_384;

export class LogLimiter {
  readonly #inUse = new Map<string, { lane: LogLane; campaigns: number }>();
  /** The lanes of ended elections. The newest is reused first, so that a loop reuses one lane. */
  readonly #freeLanes: LogLane[] = [];
  readonly #make: () => LogLane;

  constructor(make: () => LogLane) {
    this.#make = make;
  }

  /** A campaign of this election begins. @returns its lane, and a function to call once after its last line. */
  begin(key: string): { lane: LogLane; end: () => void } {
    let use = this.#inUse.get(key);
    if (use === undefined) {
      use = { lane: this.#freeLanes.pop() ?? this.#make(), campaigns: 0 };
      this.#inUse.set(key, use);
    }
    const { lane } = use;
    use.campaigns++;
    return { lane, end: () => this.#end(key, lane) };
  }

  #end(key: string, lane: LogLane): void {
    const use = this.#inUse.get(key)!;
    if (--use.campaigns > 0) return;
    this.#inUse.delete(key);
    this.#freeLanes.push(lane);
    if (this.#freeLanes.length > MOST_FREE_LANES) this.#freeLanes.shift();
  }
}

/** A new share. Its quota is full, or empty while the process starts many elections under new names. */
export const newLogShare = (): LogShare => ({
  now: (newElectionLimiter().areMany ? lastOfTheBurst : fullQuota)(clock.now()),
});

const newLogLane = (): LogLane => {
  const nowMs = clock.now();
  const { areMany } = newElectionLimiter();
  const { now } = newLogShare(); // with spread syntax, V8 would give each lane a shape of its own, which takes a quarter of a kilobyte
  const extra = (rate: LogRate): LogShare => ({
    now: areMany ? lastOfTheBurst(nowMs) : fullQuota(nowMs, rate),
  });
  return { now, terms: extra(OF_TERMS), errors: extra(OF_ERRORS) };
};

/** The lanes of one log. Elections with different logs, such as replicas in a test, do not share lanes. */
export const logLimiterOf = (log: object): LogLimiter =>
  sharedBy('log-limiters', log, () => new LogLimiter(newLogLane));
