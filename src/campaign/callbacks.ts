/**
 * Calls the user's callbacks. `onLeader` and `onFollower` are called alternately. An error in a callback never ends the
 * process.
 */
import type { CallbackFrames } from '../util/callback-frames.ts';
import type { CampaignReport } from './campaign-report.ts';
import type { Candidate } from '../core/candidate.ts';
import { followerLimitMs } from '../core/health.ts';
import { Deferred } from '../util/deferred.ts';
import type { LiveTerm } from '../term/live-term.ts';
import type { Term } from '../term/term.ts';
import { clock } from '../util/clock.ts';
import { settledWithin } from '../util/settle.ts';
import { tellEmitted } from './unusual-usage.ts';

export interface Handlers {
  readonly onLeader: ((term: Term) => unknown) | undefined;
  readonly onFollower: ((leader: Candidate | undefined) => unknown) | undefined;
  readonly onLeaderChange: ((leader: Candidate | undefined) => unknown) | undefined;
}

export interface CallbackTools {
  readonly election: string;
  readonly frames: CallbackFrames;
  readonly report: CampaignReport;
  readonly settings: { readonly drainTimeoutMs: number };
}

/** An `onLeader` that only starts something returns within this time, in milliseconds. */
const STARTS_WITHIN_MS = 5_000;

interface Following {
  readonly frame: string;
  readonly sinceMs: number;
  readonly settled: Promise<void>;
  /** Resolves when the callback has settled, or when {@link Callbacks.excuse} says not to wait for it. */
  readonly done: Deferred<void>;
}

export class Callbacks {
  readonly #handlers: Handlers;
  readonly #frames: CallbackFrames;
  readonly #election: string;
  readonly #report: CampaignReport;
  readonly #followerLimitMs: number;
  #last: 'onLeader' | 'onFollower' | undefined;
  /** The last term that was passed to {@link lead}. */
  #term: LiveTerm | undefined;
  #following: Following | undefined;
  /** Whether `onLeader` is the work itself: it once took over 5 s, or settled only after its term had ended. */
  #isWork = false;
  /** How many calls of `onLeaderChange` have not settled. */
  changing = 0;
  /** How long `onLeader` took the last time, in milliseconds. */
  workTookMs = 0;

  constructor(handlers: Handlers, of: CallbackTools) {
    this.#handlers = handlers;
    this.#frames = of.frames;
    this.#election = of.election;
    this.#report = of.report;
    this.#followerLimitMs = followerLimitMs(of.settings.drainTimeoutMs);
  }

  get frames(): CallbackFrames {
    return this.#frames;
  }

  /** How long the work has run since we noticed the end of its term, in milliseconds. 0 if no work runs. */
  get workAfterTermMs(): number {
    const noticedAtMs = this.#term?.work.isRunning === true ? this.#term.noticedAtMs : undefined;
    return noticedAtMs === undefined ? 0 : clock.now() - noticedAtMs;
  }

  /** How long `onFollower` has been running, in milliseconds; 0 if it is not running. */
  get followingMs(): number {
    return this.#following === undefined ? 0 : clock.now() - this.#following.sinceMs;
  }

  get isAnySet(): boolean {
    const { onLeader, onFollower, onLeaderChange } = this.#handlers;
    return onLeader !== undefined || onFollower !== undefined || onLeaderChange !== undefined;
  }

  get isOnlyLeaderChange(): boolean {
    const { onLeader, onFollower, onLeaderChange } = this.#handlers;
    return onLeader === undefined && onFollower === undefined && onLeaderChange !== undefined;
  }

  get isLeaderWanted(): boolean {
    return this.#handlers.onLeaderChange !== undefined;
  }

  /** Whether `onFollower` must be called, because `onLeader` was called last. */
  get followerCallbackDue(): boolean {
    return this.#last === 'onLeader' && this.#handlers.onFollower !== undefined;
  }

  /** Whether `onLeader` seems only to start something, which `onFollower` stops later. */
  get isPair(): boolean {
    return this.#handlers.onFollower !== undefined && !this.#isWork;
  }

  get isFollowerRunning(): boolean {
    return this.#following !== undefined;
  }

  /** Calls `onLeader`, at once or as soon as `onFollower` has settled. */
  lead(term: LiveTerm): void {
    const { onLeader } = this.#handlers;
    this.#term = term;
    const start = (): void => {
      if (term.leftMs <= 0) return; // after a freeze, the deadline may have passed unnoticed
      this.#last = 'onLeader';
      term.heartbeat(); // the time limit for progress counts from here
      if (onLeader !== undefined) term.work.begin((begun) => this.#timed(onLeader, begun));
    };
    if (this.#following === undefined) start();
    else void this.#following.settled.then(start);
  }

  async #timed(onLeader: (term: Term) => unknown, term: Term): Promise<unknown> {
    const begunAtMs = clock.now();
    try {
      return await onLeader(term);
    } finally {
      this.workTookMs = clock.now() - begunAtMs;
      this.#isWork ||= this.#term?.isOver === true || this.workTookMs > STARTS_WITHIN_MS;
    }
  }

  /**
   * Calls `onFollower`. Does nothing if `onFollower` was called last.
   *
   * @param signal if given, a callback that does not settle in time is reported, unless the signal aborts first.
   */
  follow(leader: Candidate | undefined, signal?: AbortSignal): void {
    const { onFollower } = this.#handlers;
    if (onFollower === undefined || this.#last === 'onFollower') return;
    this.#last = 'onFollower';
    const frame = this.#frames.newName();
    const done = new Deferred<void>();
    const settled = this.#frames
      .run(frame, () => onFollower(leader))
      .then((returned) => {
        if (returned === true) tellEmitted(this.#report, this.#election);
      })
      .catch((error: unknown) => this.#report.callbackFailed('onFollower', error))
      .then(() => {
        this.#following = undefined;
        done.resolve();
      });
    this.#following = { frame, sinceMs: clock.now(), settled, done };
    if (signal?.aborted === false) void this.#reportStuck(signal);
  }

  /** Calls `onFollower` if the end of a term has failed to call it. Only a bug of this library can cause that. */
  followIfDue(signal: AbortSignal): void {
    if (this.followerCallbackDue) this.follow(undefined, signal);
  }

  /** Waits until every callback of a term has settled. If `onFollower` is still due then, calls it and waits for it too. */
  async finish(signal: AbortSignal): Promise<void> {
    await this.settled();
    this.followIfDue(signal);
    await this.settled();
  }

  async #reportStuck(signal: AbortSignal): Promise<void> {
    const hasFollowed = await this.followerSettled(this.#followerLimitMs, signal);
    if (!hasFollowed) this.#report.followerOverdue(this.#followerLimitMs);
  }

  /** Calls `onLeaderChange` and does not await it. */
  noteLeader(leader: Candidate | undefined): void {
    const { onLeaderChange } = this.#handlers;
    if (onLeaderChange === undefined) return;
    this.changing++;
    void (async () => void (await onLeaderChange(leader)))()
      .catch((error: unknown) => this.#report.callbackFailed('onLeaderChange', error))
      .finally(() => this.changing--);
  }

  /** Stops waiting for the callback in this frame, because the callback awaits the end of the term. */
  excuse(frame: string): void {
    this.#term?.work.excuse(frame);
    if (this.#following?.frame === frame) this.#following.done.resolve();
  }

  /** Waits until the work of the term has settled, at most `withinMs` milliseconds. @returns whether it has settled. */
  async drain(withinMs: number): Promise<boolean> {
    const work = this.#term?.work;
    return work?.isBusy !== true || (await settledWithin(work.drained(), withinMs));
  }

  /** Like {@link drain}, for `onFollower`. @param signal ends the wait, as if `onFollower` had settled. */
  async followerSettled(withinMs: number, signal?: AbortSignal): Promise<boolean> {
    return (
      this.#following === undefined || (await settledWithin(this.#following.done.promise, withinMs, signal))
    );
  }

  /** Resolves when the work of the last term and `onFollower` have settled. There is no time limit. */
  async settled(): Promise<void> {
    await this.#term?.work.settled();
    await this.#following?.settled;
  }
}
