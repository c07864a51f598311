/**
 * The user's callbacks: `onLeader` and `onFollower` take turns and never overlap, and none of them ends the process.
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

export interface Handlers {
  readonly onLeader: ((term: Term) => unknown) | undefined;
  readonly onFollower: ((leader: Candidate | undefined) => unknown) | undefined;
  readonly onLeaderChange: ((leader: Candidate | undefined) => unknown) | undefined;
}

/** What the callbacks need of their election. */
export interface CallbackTools {
  readonly frames: CallbackFrames;
  readonly report: CampaignReport;
  readonly settings: { readonly drainTimeoutMs: number };
}

/** What only starts something has returned by then, in milliseconds. */
const STARTS_WITHIN_MS = 5_000;

interface Following {
  readonly frame: string;
  readonly sinceMs: number;
  readonly settled: Promise<void>;
  /** Resolves when it has settled, or said that it is done. */
  readonly done: Deferred<void>;
}

export class Callbacks {
  readonly #handlers: Handlers;
  readonly #frames: CallbackFrames;
  readonly #report: CampaignReport;
  readonly #followerLimitMs: number;
  #last: 'onLeader' | 'onFollower' | undefined;
  /** The term whose work was begun last. */
  #term: LiveTerm | undefined;
  #following: Following | undefined;
  /** Whether `onLeader` was seen to be the work itself: it ran for long, or until its term ended. */
  #isWork = false;
  /** How long `onLeader` took the last time, in milliseconds. */
  workTookMs = 0;

  constructor(handlers: Handlers, of: CallbackTools) {
    this.#handlers = handlers;
    this.#frames = of.frames;
    this.#report = of.report;
    this.#followerLimitMs = followerLimitMs(of.settings.drainTimeoutMs);
  }

  get frames(): CallbackFrames {
    return this.#frames;
  }

  /** For how long the work has gone on after its term ended, in milliseconds; 0 if it does not. */
  get workOverdueMs(): number {
    const endedAtMs = this.#term?.work.isRunning === true ? this.#term.endedAtMs : undefined;
    return endedAtMs === undefined ? 0 : clock.now() - endedAtMs;
  }

  /** For how long `onFollower` has not settled, in milliseconds; 0 if it is not under way. */
  get followingMs(): number {
    return this.#following === undefined ? 0 : clock.now() - this.#following.sinceMs;
  }

  /** Whether the program is told of its terms. */
  get isAnySet(): boolean {
    const { onLeader, onFollower, onLeaderChange } = this.#handlers;
    return onLeader !== undefined || onFollower !== undefined || onLeaderChange !== undefined;
  }

  /** Whether the program listens to every change of the leader. */
  get isLeaderWanted(): boolean {
    return this.#handlers.onLeaderChange !== undefined;
  }

  /** `onLeader` was called, and `onFollower` has not been since. */
  get followerCallbackDue(): boolean {
    return this.#last === 'onLeader' && this.#handlers.onFollower !== undefined;
  }

  /** Whether `onLeader` only starts what `onFollower` stops, as far as we have seen. */
  get isPair(): boolean {
    return this.#handlers.onFollower !== undefined && !this.#isWork;
  }

  /** Whether the work of a term waits for `onFollower`. */
  get isFollowing(): boolean {
    return this.#following !== undefined;
  }

  /** Calls `onLeader`, at once, or as soon as the follower's callback has settled. */
  lead(term: LiveTerm): void {
    const { onLeader } = this.#handlers;
    this.#term = term;
    const start = (): void => {
      if (term.isOver) return;
      this.#last = 'onLeader';
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
   * Calls `onFollower`, unless it was the last to be called.
   *
   * @param signal ends the report of a callback that does not settle. Default: no report.
   */
  follow(leader: Candidate | undefined, signal?: AbortSignal): void {
    const { onFollower } = this.#handlers;
    if (onFollower === undefined || this.#last === 'onFollower') return;
    this.#last = 'onFollower';
    const frame = this.#frames.newName();
    const done = new Deferred<void>();
    const settled = this.#frames
      .run(frame, () => onFollower(leader))
      .catch((error: unknown) => this.#report.callbackFailed('onFollower', error))
      .then(() => {
        this.#following = undefined;
        done.resolve();
      });
    this.#following = { frame, sinceMs: clock.now(), settled, done };
    if (signal?.aborted === false) void this.#reportStuck(signal);
  }

  /** Calls `onFollower` if it is due: the work of the last term took too long for it. */
  followIfDue(signal: AbortSignal): void {
    if (this.followerCallbackDue) this.follow(undefined, signal);
  }

  async #reportStuck(signal: AbortSignal): Promise<void> {
    const hasFollowed = await this.followed(this.#followerLimitMs, signal);
    if (!hasFollowed) this.#report.followerOverdue(this.#followerLimitMs);
  }

  /** Calls `onLeaderChange` and does not await it. */
  noteLeader(leader: Candidate | undefined): void {
    const { onLeaderChange } = this.#handlers;
    if (onLeaderChange === undefined) return;
    void (async () => void (await onLeaderChange(leader)))().catch((error: unknown) =>
      this.#report.callbackFailed('onLeaderChange', error),
    );
  }

  /** The callback in this frame is done as far as its term is concerned: it waits for the end itself. */
  excuse(frame: string): void {
    this.#term?.work.excuse(frame);
    if (this.#following?.frame === frame) this.#following.done.resolve();
  }

  /** Resolves when the work of the term is over, or this many milliseconds have passed. @returns whether it is over. */
  async drain(withinMs: number): Promise<boolean> {
    const work = this.#term?.work;
    return work?.isBusy !== true || (await settledWithin(work.drained(), withinMs));
  }

  /** As {@link drain}, for the follower's callback. @param signal ends the wait as if it had settled. */
  async followed(withinMs: number, signal?: AbortSignal): Promise<boolean> {
    return (
      this.#following === undefined || (await settledWithin(this.#following.done.promise, withinMs, signal))
    );
  }

  /** Resolves when the work has settled, however long that takes. */
  async workSettled(): Promise<void> {
    await this.#term?.work.settled();
  }

  /** Resolves when whatever was called has settled, however long that takes. */
  async settled(): Promise<void> {
    await this.workSettled();
    await this.#following?.settled;
  }
}
