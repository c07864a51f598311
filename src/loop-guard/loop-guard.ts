/**
 * The loop guard: applies the pure rules of core/guard-rules with a clock, a timer and cockatiel's backoff.
 *
 * The guard never rejects, because a loop that swallows rejections would run hot. Its state belongs to the process. So
 * a loop cannot avoid the guard by creating a new `Election` or client in every round.
 *
 * docs/guard.md ("Limits by call") says which limiter each public call passes, and with which settings.
 */
import { ExponentialBackoff } from 'cockatiel';
import {
  admit,
  endHold,
  forgive,
  fresh,
  isLoop,
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
  /** Shortest delay after the burst, in milliseconds. The first delay is random, and up to three times as long. */
  readonly baseMs: number;
  /** Longest delay if the caller or the work ended the previous round, in milliseconds. */
  readonly capMs: number;
  /** Longest delay if etcd, the network or an operator ended the previous round, in milliseconds. */
  readonly outsideCapMs: number;
}

export const defaultGuardSettings: GuardSettings = {
  burst: 5,
  baseMs: 250,
  capMs: 30_000,
  outsideCapMs: 2_500,
  healthyAfterMs: 30_000,
};

/** The state of a guard, for `status.guard`. */
export interface GuardStatus {
  /**
   * - `open`: there were at most as many rounds as the burst allows.
   * - `tripped`: there were more, so every further round is delayed.
   * - `holding`: a round is being delayed.
   */
  readonly state: 'open' | 'tripped' | 'holding';
  /** Rounds since the last sustained progress, without those that the guard has forgiven. */
  readonly streak: number;
  /** All rounds since the process first saw this election. */
  readonly rounds: number;
  /** How much longer the present round is delayed, in milliseconds; 0 if no round is delayed. */
  readonly heldForMs: number;
}

/** A place in the caller's code that started rounds. */
export interface CallSite {
  readonly stack: readonly string[];
  readonly rounds: number;
  /** Delays imposed on its rounds in total, in milliseconds. A delay that ended early counts in full. */
  readonly heldMs: number;
}

/** What one guard has counted since the process started. */
export interface GuardReport {
  /** Identifies the guard in this process: endpoints, prefix, election and purpose, as JSON. */
  readonly key: string;
  readonly election: string;
  /** What the guard delays: rounds of the campaign, or one of the other calls that a loop can repeat. */
  readonly purpose: Purpose;
  /** All rounds. */
  readonly rounds: number;
  /** How many rounds were delayed. */
  readonly holds: number;
  /** Delays imposed on rounds in total, in milliseconds. A delay that ended early counts in full. */
  readonly heldMs: number;
  /** The places in the caller's code that started rounds: the first 16. */
  readonly callSites: readonly CallSite[];
}

export interface GuardListener {
  tripped(fact: { rounds: number; holdMs: number; origin: Origin; calledFrom: string | undefined }): void;
  recovered(fact: { rounds: number }): void;
}

export interface PassOptions {
  readonly signal?: AbortSignal | undefined;
  readonly listener?: GuardListener | undefined;
  readonly calledFrom?: readonly string[] | undefined;
  /** Whether this is a round of a campaign. The first round of an election counts as a new election. */
  readonly isCampaign?: boolean | undefined;
  /** Whether this library began the round, because etcd, the network or an operator ended the last one. */
  readonly isRetry?: boolean | undefined;
  /**
   * Whether a call of the user began this round, as the first round of a campaign. Each 1.5 s of pause before the round
   * forgives one earlier round.
   */
  readonly isFirst?: boolean | undefined;
  /** When a failed call began, in milliseconds. Default: now. Its wait for etcd is no pause of the caller. */
  readonly begunAtMs?: number | undefined;
}

const CALL_SITES_KEPT = 16;

/** How many campaigns of one election may run at once in this process, each on its own client. */
export const MOST_CAMPAIGNS = 32;

export class LoopGuard {
  readonly key: string;
  readonly election: string;
  readonly purpose: Purpose;
  readonly #clock: Clock;
  #history: GuardHistory = fresh;
  #holds = 0;
  #heldMs = 0;
  /** When the last of the waiting rounds is released; 0 if none waits. */
  #heldUntilMs = 0;
  #waiting = 0;
  /** Created on first use, because most guards never delay a call. */
  #woken: AbortController | undefined;
  #campaigns = 0;
  /** Whether the trip was reported. Only then is the recovery reported too. */
  #isTripReported = false;
  #callSites: { stack: readonly string[]; rounds: number; heldMs: number }[] | undefined;

  constructor(key: string, election: string, time: Clock = clock, purpose: Purpose = 'campaign') {
    this.key = key;
    this.election = election;
    this.purpose = purpose;
    this.#clock = time;
  }

  /**
   * Admits a campaign.
   *
   * @returns a function to call when the campaign is over; undefined if too many campaigns are under way. Only a loop
   *   that creates clients or names, and awaits nothing, starts that many.
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

  get isFresh(): boolean {
    return this.#history.streak === 0;
  }

  /** Our candidate is in the queue, or the campaign has ended: the election no longer counts as starting. */
  cameThrough(): void {
    newElectionLimiter().leave(this);
  }

  /** Counts a round, and waits as long as the history requires, or until the signal aborts. */
  async pass(origin: Origin, settings: GuardSettings, options: PassOptions = {}): Promise<void> {
    const earlier = this.#history;
    const before = isLoop(earlier, settings);
    const now = this.#clock.now();
    const isNew = options.isCampaign === true && this.#history.rounds === 0;
    const quietMs = Math.min(options.isFirst === true ? PAUSE_MS : Infinity, settings.healthyAfterMs);
    const limits = { ...settings, healthyAfterMs: quietMs };
    const source = delaySource(settings);
    const admission = admit(earlier, origin, limits, source, now, options.isRetry, options.begunAtMs);
    this.#history = admission.history;
    const admitted = isNew ? newElectionLimiter().admitNew(this, now) : undefined;
    const holdMs = Math.max(admission.holdMs, admitted?.holdMs ?? 0);
    this.#count(options.calledFrom, holdMs);
    const after = isLoop(this.#history, settings);
    if (admitted?.trips === true || (after && !before)) {
      this.#isTripReported ||= after && options.listener !== undefined;
      options.listener?.tripped({
        rounds: admitted?.trips === true ? newElectionLimiter().count : this.#history.called,
        holdMs,
        origin,
        calledFrom: options.calledFrom?.[0] ?? this.#busiestCallSite(),
      });
    } else this.#recover(settings, options.listener);
    if (holdMs === 0) return;
    this.#holds++;
    this.#heldMs += holdMs;
    this.#waiting++;
    this.#heldUntilMs = Math.max(this.#heldUntilMs, now + holdMs);
    const wakes = origin === 'environment' ? [(this.#woken ??= new AbortController()).signal] : [];
    const ends = options.signal === undefined ? wakes : [options.signal, ...wakes];
    await untilAny(ends, (signal) => this.#clock.sleep(holdMs, signal));
    if (--this.#waiting === 0) this.#heldUntilMs = 0;
    if (origin === 'environment')
      this.#history = endHold(this.#history, earlier, admission.history, this.#clock.now());
  }

  /**
   * Records for how long the guarded work has been healthy, in milliseconds. After enough time the guard forgets its
   * rounds.
   */
  healthyFor(healthyMs: number, settings: GuardSettings, listener?: GuardListener): void {
    this.#history = progress(this.#history, healthyMs, settings);
    this.#recover(settings, listener);
  }

  /** Reports the end of a trip. Retries in an outage prolong the trip too, so the trip can outlast the caller's loop. */
  #recover(settings: GuardSettings, listener: GuardListener | undefined): void {
    if (!this.#isTripReported || isTripped(this.#history, settings)) return;
    listener?.recovered({ rounds: this.#history.rounds });
    this.#isTripReported = false;
  }

  /** The last round ended as intended, and no longer counts. */
  forgive(): void {
    this.#history = forgive(this.#history);
  }

  /** A round has ended, or was given up during its delay. The time until now does not count as quiet. */
  ended(): void {
    const releasedAtMs = Math.max(this.#history.releasedAtMs, this.#clock.now());
    this.#history = { ...this.#history, releasedAtMs };
  }

  /** The outside cause of delays is gone. Releases the rounds that it delayed. */
  wake(): void {
    const releasedAtMs = Math.min(this.#history.releasedAtMs, this.#clock.now()); // the rounds that were planned for later are released now
    this.#history = { ...this.#history, releasedAtMs };
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

/** The guard of one election and purpose in this process. All `Election` objects and clients share it. */
export function electionGuard(scope: ElectionScope, purpose: Purpose): LoopGuard {
  const key = keyOf(scope, purpose);
  return shared('guard', key, () => new LoopGuard(key, scope.election, clock, purpose));
}

/** A guard that only its owner uses. {@link loopGuards} does not report it. */
export const privateGuard = (time: Clock = clock): LoopGuard => new LoopGuard('', '', time);

/** What every guard of this process has counted, with call sites. Private guards are not included. */
export const loopGuards = (): GuardReport[] => allShared<LoopGuard>('guard').map((guard) => guard.report());

/**
 * Delays that the caller causes are at least this share of their upper limit. The share is low, so that the jitter is
 * wide.
 */
const CALLER_SPREAD = 1 / 3;
/**
 * The corresponding share for delays with other causes. It is high, because with much shorter delays we would dial too often. The cap
 * keeps the recovery quick.
 */
const ENVIRONMENT_SPREAD = 0.94;

/**
 * Makes cockatiel's exponential backoff with our own jitter. The upper limit of a delay is three times the last delay, at
 * most the cap. We do not use cockatiel's own jitter. Its first delays can be close to zero. Its later delays are always
 * the cap, so replicas would retry in step.
 *
 * @param spread a delay is at least this share of its upper limit.
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

/** Delay sources by settings. Elections with the same settings share one. */
const sources = new Map<string, DelaySource>();
const MOST_SOURCES = 64;

function delaySource({ baseMs, capMs, outsideCapMs }: GuardSettings): DelaySource {
  const key = `${baseMs}|${capMs}|${outsideCapMs}`;
  let source = sources.get(key);
  if (source === undefined) {
    source = {
      caller: delays(baseMs, capMs, CALLER_SPREAD),
      environment: delays(baseMs, outsideCapMs, ENVIRONMENT_SPREAD),
    };
    if (sources.size === MOST_SOURCES) sources.clear();
    sources.set(key, source);
  }
  return source;
}
