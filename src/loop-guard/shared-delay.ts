/**
 * Limits calls that start no round: refused calls, failed calls of a term, and calls with nothing to do or with an answer
 * that costs nothing. A loop around immediate answers would run hot.
 *
 * Calls that arrive during a delay share the delay and its timer. Many waiting calls cannot come from one loop, because
 * a loop waits for every answer. So a crowd of calls is released early. Parallel requests wait for a fraction of a
 * second, but a loop waits for up to half a minute.
 */
import type { Origin } from '../core/campaign-state.ts';
import {
  electionGuard,
  LoopGuard,
  type GuardListener,
  type GuardSettings,
  type PassOptions,
} from './loop-guard.ts';
import { keyOf, type ElectionScope, type Purpose } from './guard-key.ts';
import { known, shared } from './registry.ts';
import { clock, type Clock } from '../util/clock.ts';

/** This many waiting calls count as a crowd. */
const CROWD = 64;
/** A crowd is released after this time, in milliseconds. */
const CROWD_WAITS_MS = 250;

export class SharedDelay {
  readonly #guard: LoopGuard;
  readonly #clock: Clock;
  #together: Promise<void> | undefined;
  #release = new AbortController();
  #waiting = 0;

  constructor(guard: LoopGuard, time: Clock = clock) {
    this.#guard = guard;
    this.#clock = time;
  }

  /** Whether a delay is under way. A call that arrives now shares it. */
  get isHolding(): boolean {
    return this.#together !== undefined;
  }

  /** Whether the guard remembers no call, so that a loop is unlikely. */
  get isFresh(): boolean {
    return this.#guard.isFresh;
  }

  /** Resolves when the caller may get its answer. The delays grow after a burst. Never rejects. */
  async pass(
    settings: GuardSettings,
    options: PassOptions & { readonly origin?: Origin } = {},
  ): Promise<void> {
    this.#waiting++;
    if (this.#waiting === CROWD) {
      const release = this.#release;
      void this.#clock.sleep(CROWD_WAITS_MS, release.signal).then(() => release.abort());
    }
    this.#together ??= this.#hold(settings, options);
    await this.#together;
  }

  /** Releases all held calls, and forgets the calls that were counted. The listener learns that a reported loop is over. */
  release(settings: GuardSettings, listener?: GuardListener): void {
    this.#guard.healthyFor(settings.healthyAfterMs, settings, listener);
    if (this.#together !== undefined) this.#release.abort();
  }

  async #hold(
    settings: GuardSettings,
    { origin = 'caller', ...options }: PassOptions & { readonly origin?: Origin },
  ): Promise<void> {
    const { signal } = this.#release;
    await this.#guard.pass(origin, settings, { ...options, signal });
    this.#release.abort(); // cancels the timer of a crowd
    this.#release = new AbortController();
    this.#together = undefined;
    this.#waiting = 0;
  }
}

export const sharedDelayOf = (scope: ElectionScope, purpose: Purpose): SharedDelay =>
  shared('shared-delay', keyOf(scope, purpose), () => new SharedDelay(electionGuard(scope, purpose)));

/** Like {@link sharedDelayOf}, but undefined if no call has used it yet. */
export const knownSharedDelayOf = (scope: ElectionScope, purpose: Purpose): SharedDelay | undefined =>
  known('shared-delay', keyOf(scope, purpose));
