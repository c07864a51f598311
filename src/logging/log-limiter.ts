/**
 * The log lines of elections that come one after another, each in the place of the last.
 *
 * A budget for each name has no end where each turn of a loop makes up a name. But those follow each other, while
 * elections that a program means stand side by side. So besides its own budget each election has a place, with a
 * budget too: who begins takes the place of one that has ended, with what time has filled in of its lines, and only
 * where none has ended a new one.
 */
import { fullQuota, lastOfTheBurst, type LogQuota } from '../core/log-quota.ts';
import { newElectionLimiter } from '../loop-guard/new-elections.ts';
import { sharedBy } from '../loop-guard/registry.ts';
import { clock } from '../util/clock.ts';

/** A budget that several may spend. */
export interface LogShare {
  now: LogQuota;
}

/** Beyond so many the one that was left behind first is forgotten. */
const MOST_LEFT = 16_384;

export class LogLimiter {
  readonly #inUse = new Map<string, { share: LogShare; campaigns: number }>();
  /** Left behind by those who have ended; the last one first, or a loop would go through them all. */
  readonly #left: LogShare[] = [];
  readonly #make: () => LogShare;

  constructor(make: () => LogShare) {
    this.#make = make;
  }

  /** A campaign of this election begins. @returns its share, and what to call once when its last line is written. */
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

/** Names that a loop makes up side by side would each bring a burst of lines of their own. */
export const newLogShare = (): LogShare => ({
  now: (newElectionLimiter().areMany ? lastOfTheBurst : fullQuota)(clock.now()),
});

/** The places of one log: elections that write to different ones, as each replica in a test does, take no place of others. */
export const logLimiterOf = (log: object): LogLimiter =>
  sharedBy('log-limiters', log, () => new LogLimiter(newLogShare));
