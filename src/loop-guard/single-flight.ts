/**
 * What callers pass who get no round of their own: a refusal, an answer that costs nothing, nothing to do.
 *
 * Such an answer could be given at once, and that is what makes loops hot. Callers that come while somebody is held
 * wait with him, so that a flood of calls costs one timer; and a crowd is let go early, because a loop is never a
 * crowd: it waits for each answer before it asks again. So requests that are served side by side wait for
 * milliseconds where a loop waits for half a minute, and what waits is bounded.
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

  /** Whether somebody is held: whoever comes now waits with him. */
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
