/**
 * Limits the log lines of successive elections under different names.
 *
 * A quota for every name is no limit if a loop invents a name in every turn. But such elections follow each other, while the
 * elections of an ordinary program run side by side. So every election also has a place, which has a quota of its own. A
 * new election takes the place of one that has ended, with the quota that is left there. If none has ended, it gets a
 * new place.
 */
import { fullQuota, lastOfTheBurst, type LogQuota } from '../core/log-quota.ts';
import { newElectionLimiter } from '../loop-guard/new-elections.ts';
import { sharedBy } from '../loop-guard/registry.ts';
import { clock } from '../util/clock.ts';

/** A quota that several elections may share. */
export interface LogShare {
  now: LogQuota;
}

/** How many free places are kept. Beyond that the oldest is dropped. */
const MOST_LEFT = 16_384;

export class LogLimiter {
  readonly #inUse = new Map<string, { share: LogShare; campaigns: number }>();
  /** Places of ended elections. The newest is reused first; otherwise a loop would use up all of them. */
  readonly #left: LogShare[] = [];
  readonly #make: () => LogShare;

  constructor(make: () => LogShare) {
    this.#make = make;
  }

  /** A campaign of this election begins. @returns its share, and a function to call once after its last line. */
  begin(key: string): { share: LogShare; end: () => void } {
    let use = this.#inUse.get(key);
    if (use === undefined) {
      use = { share: this.#left.pop() ?? this.#make(), campaigns: 0 };
      this.#inUse.set(key, use);
    }
    const { share } = use;
    use.campaigns++;
    return { share, end: () => this.#end(key, share) };
  }

  #end(key: string, share: LogShare): void {
    const use = this.#inUse.get(key)!;
    if (--use.campaigns > 0) return;
    this.#inUse.delete(key);
    this.#left.push(share);
    if (this.#left.length > MOST_LEFT) this.#left.shift();
  }
}

/** A new share. Its quota is full, unless the process starts many elections under new names: then it has no burst. */
export const newLogShare = (): LogShare => ({
  now: (newElectionLimiter().areMany ? lastOfTheBurst : fullQuota)(clock.now()),
});

/** The places of one log. Elections with different logs, such as replicas in a test, do not share places. */
export const logLimiterOf = (log: object): LogLimiter =>
  sharedBy('log-limiters', log, () => new LogLimiter(newLogShare));
