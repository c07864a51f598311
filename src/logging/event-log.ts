/**
 * Reports the events of one election, or of the parts that the elections of a client share. Limits the log lines.
 */
import pino from 'pino';
import { fullQuota, lastOfTheBurst, OF_ALL, spend } from '../core/log-quota.ts';
import type { ElectionEvent, Level, Logger } from '../events.ts';
import { publish } from './event-channels.ts';
import { levelOf, writeLine } from './event-lines.ts';
import { shared } from '../loop-guard/registry.ts';
import { logLimiterOf, newLogShare, type LogShare } from './log-limiter.ts';
import { writeAtExit, writeNow, writeSoon } from './line-queue.ts';
import { clock } from '../util/clock.ts';

/** Events that are always logged: they are rare, and later lines make no sense without them. */
const NEVER_LEFT_OUT: ReadonlySet<ElectionEvent['type']> = new Set(['guard.recovered', 'etcd.history-lost']);

let made: Logger | undefined;

/** The default logger: pino to standard output, created on first use. */
export const defaultLogger = (): Logger => (made ??= pino({ name: 'etcd-election' }));

export class EventLog {
  readonly #logger: Logger;
  readonly #key: string;
  /** The quota of this election, across `Election` objects. */
  readonly #own: LogShare;
  /** The quota of all successive elections in the same place of this log; for events that report no fault. */
  #place: LogShare | undefined;
  /** The quota of all elections of the process together. */
  readonly #all: LogShare;

  /** @param key event logs with the same key share a quota. */
  constructor(logger: Logger, key: string) {
    this.#logger = logger;
    this.#key = key;
    this.#own = shared('lines', key, newLogShare);
    this.#all = shared('lines', '', () => ({ now: fullQuota(clock.now(), OF_ALL) }));
  }

  /** A campaign begins. @param onExit called when the process exits. @returns to be called after its last event. */
  begin(onExit: () => void): () => void {
    const { share, end } = logLimiterOf(this.#logger).begin(this.#key);
    const leave = writeAtExit(onExit);
    this.#place = share;
    return () => {
      leave();
      end();
    };
  }

  /** Publishes an event at once. Its log line is written now, or at the end of this event loop turn: see line-queue.ts. */
  report(event: ElectionEvent): void {
    publish(event);
    const level = levelOf(event);
    const write = (): void => this.#write(event, level);
    if (level === 'warn' || level === 'error' || event.type === 'campaign.ended') writeNow(write);
    else writeSoon(write);
  }

  #write(event: ElectionEvent, level: Level): void {
    const suppressed = this.#leftOut(event, level);
    if (suppressed !== false) writeLine(event, this.#logger, suppressed);
  }

  /** @returns how many lines were suppressed before this one; false if this one is suppressed. */
  #leftOut(event: ElectionEvent, level: Level): false | number {
    if (level === 'trace' || level === 'debug' || NEVER_LEFT_OUT.has(event.type)) return 0;
    if (event.type === 'guard.tripped') {
      // The diagnosis is always written. It ends the burst, so that the symptoms become rare from here on.
      const { suppressed } = this.#own.now;
      this.#own.now = lastOfTheBurst(clock.now());
      return suppressed;
    }
    return this.#spend(level === 'info' ? this.#place : undefined);
  }

  /** Takes one line from every quota, or from none. @returns how many were suppressed before; false if this one is. */
  #spend(place: LogShare | undefined): false | number {
    const now = clock.now();
    const steps = [
      { share: this.#own, ...spend(this.#own.now, now) },
      ...(place === undefined ? [] : [{ share: place, ...spend(place.now, now) }]),
      { share: this.#all, ...spend(this.#all.now, now, OF_ALL) },
    ];
    const refused = steps.find(({ written }) => !written);
    if (refused !== undefined) {
      refused.share.now = refused.budget;
      return false;
    }
    let leftOut = 0;
    for (const { share, budget } of steps) {
      leftOut += share.now.suppressed;
      share.now = budget;
    }
    return leftOut;
  }
}
