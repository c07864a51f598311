/**
 * The loop guard at work: the pure rules of core/guard-rules with a clock, a timer and cockatiel's backoff.
 *
 * It delays, by a timer, and never rejects: a rejection is what makes a loop hot that swallows it. Its state
 * belongs to the process, so that a new `Election` or a new client each turn changes nothing.
 */
import { ExponentialBackoff } from 'cockatiel';
import {
  admit,
  endHold,
  forgive,
  fresh,
  isTripped,
  PAUSE_MS,
  progress,
  type Delays,
  type DelaySource,
  type GuardHistory,
  type GuardLimits,
} from '../core/guard-rules.ts';
import { untilAny } from '../util/abort.ts';
import type { Origin } from '../core/campaign-state.ts';
import { keyOf, type ElectionScope, type Purpose } from './guard-key.ts';
import { newElectionLimiter } from './new-elections.ts';
import { allShared, shared } from './registry.ts';
import { clock, type Clock } from '../util/clock.ts';

export interface GuardSettings extends GuardLimits {
  /** First delay after the burst, in milliseconds. */
  readonly baseMs: number;
  /** Longest delay of rounds that our own work or the caller spoils, in milliseconds. */
  readonly capMs: number;
  /** Longest delay of rounds that etcd, the network or an operator spoils, in milliseconds. */
  readonly outsideCapMs: number;
}

export const defaultGuardSettings: GuardSettings = {
  burst: 5,
  baseMs: 250,
  capMs: 30_000,
  outsideCapMs: 2_500,
  healthyAfterMs: 30_000,
};

/** What the guard says of itself; `status.guard` shows it. */
export interface GuardStatus {
  readonly state: 'open' | 'tripped' | 'holding';
  /** Rounds since the last sustained progress. */
  readonly streak: number;
  /** All rounds since the process first saw this election. */
  readonly rounds: number;
  /** How much longer the round at hand is held back, in milliseconds; 0 where none is. */
  readonly heldForMs: number;
}

/** A place in the caller's code that started rounds. */
export interface CallSite {
  readonly stack: readonly string[];
  readonly rounds: number;
  /** How long its rounds were held back in sum, in milliseconds. */
  readonly heldMs: number;
}

export interface GuardReport {
  /** Tells all guards of the process apart: endpoints, prefix, election and purpose, as JSON. */
  readonly key: string;
  readonly election: string;
  /** What it holds: rounds of the campaign, or one of the other calls that a loop can repeat. */
  readonly purpose: Purpose;
  readonly rounds: number;
  readonly holds: number;
  readonly heldMs: number;
  readonly callSites: readonly CallSite[];
}

export interface GuardListener {
  tripped(fact: { rounds: number; holdMs: number; origin: Origin; calledFrom: string | undefined }): void;
  recovered(fact: { rounds: number }): void;
}

export interface PassOptions {
  /** Ends the wait at once when it aborts. */
  readonly signal?: AbortSignal | undefined;
  readonly listener?: GuardListener | undefined;
  readonly calledFrom?: readonly string[] | undefined;
  /** A campaign's own round: the first one of an election counts as a new election. */
  readonly isCampaign?: boolean | undefined;
  /** The caller begins it: a pause that the caller made before counts as quiet. */
  readonly isBegun?: boolean | undefined;
}

const CALL_SITES_KEPT = 16;

/** Campaigns of one election that may be under way at once in this process, each on a client of its own. */
export const MOST_CAMPAIGNS = 32;

export class LoopGuard {
  readonly key: string;
  readonly election: string;
  readonly purpose: Purpose;
  readonly #clock: Clock;
  #history: GuardHistory = fresh;
  #holds = 0;
  #heldMs = 0;
  #heldUntilMs = 0;
  /** Created for the first call that waits, because most guards never delay a call. */
  #woken: AbortController | undefined;
  #campaigns = 0;
  /** Whether the trip was reported. Only then the recovery is reported too. */
  #hasSaidSo = false;
  #callSites: { stack: readonly string[]; rounds: number; heldMs: number }[] | undefined;

  constructor(key: string, election: string, time: Clock = clock, purpose: Purpose = 'campaign') {
    this.key = key;
    this.election = election;
    this.purpose = purpose;
    this.#clock = time;
  }

  /**
   * A campaign wants to begin. @returns what to call when it is over; undefined where so many are under way already
   * that a loop must be making clients, or names, without awaiting anything.
   */
  admitCampaign(): (() => void) | undefined {
    const isNew = this.#history.rounds === 0;
    if (this.#campaigns >= MOST_CAMPAIGNS || (isNew && newElectionLimiter().isFlooded(this.#clock.now())))
      return undefined;
    this.#campaigns++;
    return () => {
      this.#campaigns--;
      this.cameThrough();
    };
  }

  /** Whether no round is remembered. */
  get isFresh(): boolean {
    return this.#history.streak === 0;
  }

  /** The round came through: a candidate stands in the queue. */
  cameThrough(): void {
    newElectionLimiter().leave(this);
  }

  /** One round wants to go on: waits as long as its history demands, or until the signal aborts. */
  async pass(origin: Origin, settings: GuardSettings, options: PassOptions = {}): Promise<void> {
    const earlier = this.#history;
    const before = isTripped(earlier, settings);
    const now = this.#clock.now();
    const isNew = options.isCampaign === true && this.#history.rounds === 0;
    const quietMs = Math.min(options.isBegun === true ? PAUSE_MS : Infinity, settings.healthyAfterMs);
    const limits = { ...settings, healthyAfterMs: quietMs };
    const verdict = admit(earlier, origin, limits, delaySource(settings), now);
    this.#history = verdict.history;
    const admitted = isNew ? newElectionLimiter().admitNew(this, now) : undefined;
    const holdMs = Math.max(verdict.holdMs, admitted?.holdMs ?? 0);
    this.#count(options.calledFrom, holdMs);
    const after = isTripped(this.#history, settings);
    if (admitted?.trips === true || (after && !before)) {
      this.#hasSaidSo ||= after && options.listener !== undefined;
      options.listener?.tripped({
        rounds: admitted?.trips === true ? newElectionLimiter().count : this.#history.streak,
        holdMs,
        origin,
        calledFrom: options.calledFrom?.[0] ?? this.#busiestCallSite(),
      });
    } else if (before && !after) this.#recover(options.listener);
    if (holdMs === 0) return;
    this.#holds++;
    this.#heldMs += holdMs;
    this.#heldUntilMs = now + holdMs;
    const wakes = origin === 'environment' ? [(this.#woken ??= new AbortController()).signal] : [];
    const ends = options.signal === undefined ? wakes : [options.signal, ...wakes];
    await untilAny(ends, (signal) => this.#clock.sleep(holdMs, signal));
    this.#heldUntilMs = 0;
    if (origin === 'environment')
      this.#history = endHold(this.#history, earlier, verdict.history, this.#clock.now());
  }

  /** What the guard lets go was well for this long, in milliseconds: enough of it, and the guard forgets. */
  healthyFor(healthyMs: number, settings: GuardSettings, listener?: GuardListener): void {
    const before = isTripped(this.#history, settings);
    this.#history = progress(this.#history, healthyMs, settings);
    if (before && !isTripped(this.#history, settings)) this.#recover(listener);
  }

  #recover(listener: GuardListener | undefined): void {
    if (this.#hasSaidSo) listener?.recovered({ rounds: this.#history.rounds });
    this.#hasSaidSo = false;
  }

  /** The last round came to an orderly end: it does not count. */
  forgive(): void {
    this.#history = forgive(this.#history);
  }

  /** What it let go is over, or was given up while it was held: the time until now was no pause of the caller's. */
  ended(): void {
    const releasedAtMs = Math.max(this.#history.releasedAtMs, this.#clock.now());
    this.#history = { ...this.#history, releasedAtMs };
  }

  /** Releases the calls that were delayed for an outside cause, because the cause is gone. */
  wake(): void {
    this.#woken?.abort();
    this.#woken = undefined;
  }

  status(settings: GuardSettings): GuardStatus {
    const heldForMs = Math.max(0, this.#heldUntilMs - this.#clock.now());
    const tripped = isTripped(this.#history, settings);
    return {
      state: heldForMs > 0 ? 'holding' : tripped ? 'tripped' : 'open',
      streak: this.#history.streak,
      rounds: this.#history.rounds,
      heldForMs,
    };
  }

  report(): GuardReport {
    return {
      key: this.key,
      election: this.election,
      purpose: this.purpose,
      rounds: this.#history.rounds,
      holds: this.#holds,
      heldMs: this.#heldMs,
      callSites: (this.#callSites ?? []).map((site) => ({ ...site })),
    };
  }

  #count(stack: readonly string[] | undefined, heldMs: number): void {
    if (stack === undefined) return;
    const callSites = (this.#callSites ??= []);
    const site = callSites.find((each) => isSame(each.stack, stack));
    if (site !== undefined) {
      site.rounds++;
      site.heldMs += heldMs;
    } else if (callSites.length < CALL_SITES_KEPT) {
      callSites.push({ stack, rounds: 1, heldMs });
    }
  }

  #busiestCallSite(): string | undefined {
    return [...(this.#callSites ?? [])].sort((a, b) => b.rounds - a.rounds)[0]?.stack[0];
  }
}

const isSame = (a: readonly string[], b: readonly string[]): boolean =>
  a === b || (a.length === b.length && a.every((frame, index) => frame === b[index]));

/** A guard of one election in this process: the same for every object and every client that comes by. */
export function guardOf(scope: ElectionScope, purpose: Purpose): LoopGuard {
  const key = keyOf(scope, purpose);
  return shared('guard', key, () => new LoopGuard(key, scope.election, clock, purpose));
}

/** What every guard of this process has counted, call sites included. */
export const loopGuards = (): GuardReport[] => allShared<LoopGuard>('guard').map((guard) => guard.report());

/** What we spoil ourselves comes back with wide jitter: nothing is lost if it takes longer. */
const OWN_SPREAD = 1 / 3;
/**
 * What the world spoils comes back close to the cap, neither later, because recovery must be quick, nor much earlier:
 * each try may dial twice, because gRPC dials once more by itself, a second after the first time failed.
 */
const OUTSIDE_SPREAD = 0.94;

/**
 * cockatiel's exponential backoff with a generator of ours: each delay is at most three times the last one, and at
 * least `spread` of what it may be at most, also at the cap. (Its own decorrelated jitter can draw almost nothing at
 * first, and draws exactly the cap later: replicas would come back in step.)
 */
function delays(baseMs: number, capMs: number, spread: number): () => Delays {
  const backoff = new ExponentialBackoff<number>({
    initialDelay: baseMs,
    maxDelay: capMs,
    generator: (last, { initialDelay, maxDelay }) => {
      const high = Math.min(maxDelay, (last ?? initialDelay) * 3);
      const low = Math.max(Math.min(initialDelay, maxDelay), high * spread);
      const delay = low + Math.random() * (high - low);
      return [delay, delay];
    },
  });
  return () => backoff.next();
}

/** Ten thousand elections with the same settings share one. */
const sources = new Map<string, DelaySource>();
const MOST_SOURCES = 64;

function delaySource({ baseMs, capMs, outsideCapMs }: GuardSettings): DelaySource {
  const key = `${baseMs}|${capMs}|${outsideCapMs}`;
  let source = sources.get(key);
  if (source === undefined) {
    source = {
      caller: delays(baseMs, capMs, OWN_SPREAD),
      environment: delays(baseMs, outsideCapMs, OUTSIDE_SPREAD),
    };
    if (sources.size === MOST_SOURCES) sources.clear();
    sources.set(key, source);
  }
  return source;
}
