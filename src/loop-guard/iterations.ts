/**
 * Iterations of `observe()`. One that lasts is an observer, and any number may begin at once: the viewers of a
 * dashboard come back together. One that ends soon is a round of a loop, and the next one that begins pays for it.
 */
import { guardOf, type GuardSettings, type LoopGuard, type PassOptions } from './loop-guard.ts';
import { keyOf, type ElectionScope } from './guard-key.ts';
import { shared } from './registry.ts';
import { clock, type Clock } from '../util/clock.ts';

/** Twenty that end soon go at once, then fewer and fewer; each second of quiet forgives one. */
const SHORT_ONES: GuardSettings = {
  burst: 20,
  baseMs: 250,
  capMs: 8_000,
  outsideCapMs: 8_000,
  healthyAfterMs: 1_000,
};

/** An iteration that lasted for so long, in milliseconds, is no round of a hot loop. */
const LASTS_MS = 1_000;

/** So many open at once may be meant, or be left behind by viewers that are gone: it is said once. */
const MANY_OPEN = 25;

/** So many may be open, and so many of those may wait to begin: each costs memory. */
const MOST_OPEN = 10_000;
const MOST_HELD = 100;

export class Iterations {
  readonly #guard: LoopGuard;
  readonly #clock: Clock;
  /** Those that ended soon, and that no later one has paid for. */
  #unpaid = 0;
  #open = 0;
  #held = 0;
  #hasSaidSo = false;

  constructor(guard: LoopGuard, time: Clock = clock) {
    this.#guard = guard;
    this.#clock = time;
  }

  /**
   * Resolves when it may begin, or when the signal aborts.
   *
   * @param isEmpty it ends at once: it is a round in any case, and takes its time.
   * @param onMany called once, when many are open.
   * @returns what to call when it ends; undefined where so many are open that a loop must be leaving them.
   */
  async begin(
    options: PassOptions,
    isEmpty: boolean,
    onMany: (count: number) => void,
  ): Promise<(() => void) | undefined> {
    if (this.#open >= MOST_OPEN || this.#held >= MOST_HELD) return undefined;
    this.#open++;
    if (isEmpty || this.#unpaid > 0) {
      this.#unpaid = Math.max(0, this.#unpaid - 1);
      this.#held++;
      await this.#guard.pass('caller', SHORT_ONES, options);
      this.#held--;
    }
    if (isEmpty) await this.#clock.sleep(1);
    else if (this.#open >= MANY_OPEN && !this.#hasSaidSo) {
      this.#hasSaidSo = true;
      onMany(this.#open);
    }
    const begunAtMs = this.#clock.now();
    return () => {
      this.#open--;
      if (!isEmpty && this.#clock.now() - begunAtMs < LASTS_MS) this.#unpaid++;
    };
  }
}

/** Those of one election in this process. */
export const iterationsOf = (scope: ElectionScope): Iterations =>
  shared('iterations', keyOf(scope, 'iterations'), () => new Iterations(guardOf(scope, 'iterations')));
