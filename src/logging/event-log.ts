/**
 * Tells what happens to one election, or to what the elections of a client share: bounded in lines.
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

/** Rare, and what comes after them is not understood without them. */
const NEVER_LEFT_OUT: ReadonlySet<ElectionEvent['type']> = new Set(['guard.recovered', 'etcd.history-lost']);

let made: Logger | undefined;

/** The logger of those who pass none: pino to standard output, made once, when first needed. */
export const defaultLogger = (): Logger => (made ??= pino({ name: 'etcd-election' }));

export class EventLog {
  readonly #logger: Logger;
  readonly #key: string;
  /** Of this election, whichever object writes. */
  readonly #own: LogShare;
  /** Of all elections that come and go in its place, in this log: for what is no fault. */
  #place: LogShare | undefined;
  /** Of all elections of the process together. */
  readonly #all: LogShare;

  /** @param key whose lines are counted together, whichever object writes them. */
  constructor(logger: Logger, key: string) {
    this.#logger = logger;
    this.#key = key;
    this.#own = shared('lines', key, newLogShare);
    this.#all = shared('lines', '', () => ({ now: fullQuota(clock.now(), OF_ALL) }));
  }

  /** A campaign begins. @param onExit is called when the process exits. @returns what to call when it is over, and has said so. */
  begin(onExit: () => void): () => void {
    const { share, end } = logLimiterOf(this.#logger).begin(this.#key);
    const leave = writeAtExit(onExit);
    this.#place = share;
    return () => {
      leave();
      end();
    };
  }

  /** Tells subscribers at once. Its line follows at once too, or at the end of the event loop's turn: see line-queue.ts. */
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

  /** @returns how many lines were left out before; false if this one is. */
  #leftOut(event: ElectionEvent, level: Level): false | number {
    if (level === 'trace' || level === 'debug' || NEVER_LEFT_OUT.has(event.type)) return 0;
    if (event.type === 'guard.tripped') {
      // The diagnosis must not drown in the symptoms, nor they go on as if nothing had been said.
      const { suppressed } = this.#own.now;
      this.#own.now = lastOfTheBurst(clock.now());
      return suppressed;
    }
    return this.#spend(level === 'info' ? this.#place : undefined);
  }

  /** One line of each budget, or of none. @returns how many were left out before; false where this one is. */
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
