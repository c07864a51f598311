/**
 * Limits calls that start no round: they are refused, have nothing to do, or have an answer that costs nothing.
 *
 * An immediate answer to such a call would let a loop run hot. So the guard delays it. Calls that arrive during a delay share
 * it, so that a flood of calls costs one timer. If many calls wait, they are released early: they cannot come from one
 * loop, because a loop waits for every answer before it calls again. So parallel requests wait for milliseconds, but a
 * loop waits for up to half a minute. The number of waiting calls is bounded.
 */
import type { Origin } from '../core/campaign-state.ts';
import { guardOf, LoopGuard, type GuardSettings, type PassOptions } from './loop-guard.ts';
import { keyOf, type ElectionScope, type Purpose } from './guard-key.ts';
import { known, shared } from './registry.ts';
import { clock, type Clock } from '../util/clock.ts';

/** So many who wait together are a crowd. */
const CROWD = 64;
/** A crowd is let go after this time, in milliseconds; and this is the least that anybody waits who is held. */
const CROWD_WAITS_MS = 250;

export class SingleFlight {
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

  /** Whether nobody has passed of late: there is no loop to name. */
  get isFresh(): boolean {
    return this.#guard.isFresh;
  }

  /** Resolves when the caller may have his answer; a burst at once, then later and later. Never rejects. */
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

  /** The cause of these answers is over: those who are held go on now, and the rounds so far do not count. */
  letGo(settings: GuardSettings): void {
    this.#guard.healthyFor(settings.healthyAfterMs, settings);
    if (this.#together !== undefined) this.#release.abort();
  }

  async #hold(
    settings: GuardSettings,
    { origin = 'caller', ...options }: PassOptions & { readonly origin?: Origin },
  ): Promise<void> {
    const { signal } = this.#release;
    await this.#guard.pass(origin, settings, { ...options, signal });
    this.#release.abort(); // its timer, if there is one
    this.#release = new AbortController();
    this.#together = undefined;
    this.#waiting = 0;
  }
}

/** The single flight of one election and kind of answer in this process. */
export const singleFlightOf = (scope: ElectionScope, purpose: Purpose): SingleFlight =>
  shared('single-flight', keyOf(scope, purpose), () => new SingleFlight(guardOf(scope, purpose)));

/** As {@link singleFlightOf}, if anybody has passed it yet. */
export const knownSingleFlightOf = (scope: ElectionScope, purpose: Purpose): SingleFlight | undefined =>
  known('single-flight', keyOf(scope, purpose));
