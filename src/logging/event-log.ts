/**
 * Reports the events of one election, or of the parts that the elections of a client share. Limits the log lines.
 */
import pino from 'pino';
import {
  charge,
  fullQuota,
  lastOfTheBurst,
  OF_ADVICE,
  OF_ALL,
  OF_ERRORS,
  OF_TERMS,
  spend,
  type LogRate,
} from '../core/log-quota.ts';
import type { ElectionEvent, Level, Logger } from '../events.ts';
import { publish, type EventSource } from './event-channels.ts';
import { levelOf, writeLine } from './event-lines.ts';
import { shared } from '../loop-guard/registry.ts';
import { logLimiterOf, newLogShare, type LogLane, type LogShare } from './log-limiter.ts';
import { reportAtExit, writeNow, writeSoon } from './line-queue.ts';
import { StandardOutput } from './standard-output.ts';
import { clock } from '../util/clock.ts';

/** Events that are always logged, because they are rare, and later lines make no sense without them. */
const NEVER_SUPPRESSED: ReadonlySet<ElectionEvent['type']> = new Set([
  'guard.recovered',
  'etcd.history-lost',
]);

/**
 * Events that are reported only once. Their lines have an extra quota, because a suppressed line would hide the
 * mistake.
 */
const ADVICE: ReadonlySet<ElectionEvent['type']> = new Set(['usage.unusual', 'term.stale']);

/** Events whose lines have an extra quota. When that quota is used up, these lines use the quotas of other lines. */
const OF_A_TERM: ReadonlySet<ElectionEvent['type']> = new Set(['term.started', 'term.ended']);

let createdLogger: Logger | undefined;

/** The default logger: pino to standard output, created on first use. */
export const defaultLogger = (): Logger =>
  (createdLogger ??= pino({ name: 'etcd-election' }, StandardOutput.open()));

export class EventLog implements EventSource {
  readonly #logger: Logger;
  readonly key: string;
  /** The quota of this election, across `Election` objects. */
  readonly #own: LogShare;
  /** The quotas of this election's lane: for lines without a fault, for terms and for errors. See log-limiter.ts. */
  #lane: LogLane | undefined;
  /** The quota of all elections of the process together. */
  readonly #all: LogShare;

  /** @param key event logs with the same key share a quota. */
  constructor(logger: Logger, key: string) {
    this.#logger = logger;
    this.key = key;
    this.#own = shared('lines', key, newLogShare);
    this.#all = shared('lines', '', () => ({ now: fullQuota(clock.now(), OF_ALL) }));
  }

  /** Begins a campaign. @param onExit called when the process exits. @returns a function to call after its last event. */
  begin(onExit: () => void): () => void {
    const { lane, end } = logLimiterOf(this.#logger).begin(this.key);
    const leave = reportAtExit(onExit);
    this.#lane = lane;
    return () => {
      leave();
      end();
    };
  }

  /** Publishes an event at once. line-queue.ts explains when the log line is written. */
  report(event: ElectionEvent): void {
    publish(event, this);
    const level = levelOf(event);
    const write = (): void => this.#write(event, level);
    if (level === 'warn' || level === 'error' || event.type === 'campaign.ended') writeNow(write);
    else writeSoon(write);
  }

  #write(event: ElectionEvent, level: Level): void {
    const suppressed = this.#suppressedBefore(event, level);
    if (suppressed !== false) writeLine(event, this.#logger, suppressed);
  }

  /** @returns how many lines were suppressed before this one; false if this one is suppressed. */
  #suppressedBefore(event: ElectionEvent, level: Level): false | number {
    if (level === 'trace' || level === 'debug' || NEVER_SUPPRESSED.has(event.type)) return 0;
    if (event.type === 'guard.tripped') {
      // This line names the cause, so it is always written. After it, the other lines of a loop in the caller's code become
      // rare. In an outage the other lines stay, because they tell the operator what happens.
      const { suppressed } = this.#own.now;
      this.#own.now =
        event.origin === 'caller' ? lastOfTheBurst(clock.now()) : { ...this.#own.now, suppressed: 0 };
      return suppressed;
    }
    if (ADVICE.has(event.type) && this.#spendOnAdvice()) return 0;
    return this.#spend(this.#sharesOf(event, level));
  }

  /** @returns whether the advice's own quota allows the line. That quota is additional to the quota of the other lines. */
  #spendOnAdvice(): boolean {
    const now = clock.now();
    const share = shared('lines', `advice|${this.key}`, () => ({ now: fullQuota(now, OF_ADVICE) }));
    const { quota, written } = spend(share.now, now, OF_ADVICE);
    share.now = quota;
    return written;
  }

  #sharesOf(event: ElectionEvent, level: Level): readonly (readonly [LogShare, LogRate?])[] {
    const all = [this.#all, OF_ALL] as const;
    const lane = this.#lane;
    if (lane === undefined) return [[this.#own], all];
    const now = clock.now();
    const extra = extraOf(event, level, lane);
    if (extra !== undefined && spend(extra[0].now, now, extra[1]).written) {
      if (extra[0] === lane.terms) for (const share of [this.#own, lane]) share.now = charge(share.now, now);
      return [extra, all];
    }
    return level === 'info' ? [[this.#own], [lane], all] : [[this.#own], all];
  }

  /**
   * Takes one line from every quota, or from none.
   *
   * @returns how many lines were suppressed before this one; false if this one is suppressed.
   */
  #spend(shares: readonly (readonly [LogShare, LogRate?])[]): false | number {
    const now = clock.now();
    const steps = shares.map(([share, rate]) => ({ share, ...spend(share.now, now, rate) }));
    const exhausted = steps.find(({ written }) => !written);
    if (exhausted !== undefined) {
      exhausted.share.now = exhausted.quota;
      return false;
    }
    let suppressed = 0;
    for (const { share, quota } of steps) {
      suppressed += share.now.suppressed;
      share.now = quota;
    }
    return suppressed;
  }
}

/** The extra quota that a line about an error or a term uses first; undefined for other lines. */
function extraOf(
  { type }: ElectionEvent,
  level: Level,
  lane: LogLane,
): readonly [LogShare, LogRate] | undefined {
  if (level === 'error') return [lane.errors, OF_ERRORS];
  return level === 'info' && OF_A_TERM.has(type) ? [lane.terms, OF_TERMS] : undefined;
}
