/**
 * Limits the iterations of `observe()`. A short iteration counts as a round of a loop if it began after the previous
 * round had ended. The guard delays the next iteration. Short iterations in parallel draw on a budget instead, because
 * an ordinary program may have many. For example, all viewers of a dashboard may lose their connections at once, and
 * connect again.
 */
import { admitNew, fullNewElectionBudget, type CrowdLimits } from '../core/new-election-budget.ts';
import { electionGuard, type GuardSettings, type LoopGuard, type PassOptions } from './loop-guard.ts';
import { keyOf, type ElectionScope } from './guard-key.ts';
import { shared } from './registry.ts';
import { clock, type Clock } from '../util/clock.ts';

/**
 * Short iterations one after another: the first twenty are not delayed. Then the delays grow. Every second of quiet
 * forgives one iteration.
 */
const SHORT_ONES: GuardSettings = {
  burst: 20,
  baseMs: 250,
  capMs: 8_000,
  outsideCapMs: 8_000,
  healthyAfterMs: 1_000,
};

/** An iteration that lasts this long, in milliseconds, is not a round of a hot loop. */
const LASTS_MS = 1_000;

/** This many open iterations are reported once, because the program may have forgotten to end some. */
const MANY_OPEN = 25;

/** How many iterations may be open, and how many may wait to begin. Each costs memory. */
const MOST_OPEN = 10_000;
const MOST_HELD = 100;

/** Short iterations in parallel: all open ones may end at once. After that, 20 a second are not delayed. */
const SIDE_BY_SIDE: CrowdLimits = { sideBySide: MOST_OPEN, oneByOne: Infinity, msPerOne: 50 };

export class Iterations {
  readonly #guard: LoopGuard;
  readonly #clock: Clock;
  /** The length of the longest chain of short iterations in which each one began after the previous one had ended. */
  #chain = 0;
  /** Whether the next iteration counts as a round, because the chain has grown. */
  #isRoundDue = false;
  #sideBySide: ReturnType<typeof fullNewElectionBudget>;
  #open = 0;
  #held = 0;
  #areManyReported = false;

  constructor(guard: LoopGuard, time: Clock = clock) {
    this.#guard = guard;
    this.#clock = time;
    this.#sideBySide = fullNewElectionBudget(time.now(), SIDE_BY_SIDE);
  }

  /**
   * Resolves when an iteration may begin, or when the signal aborts.
   *
   * @param isEmpty whether the iteration will end at once. If so, it always counts as a round.
   * @param onMany called once, when many iterations are open.
   * @returns a function to call when the iteration ends; undefined if too many iterations are open or wait.
   */
  async begin(
    options: PassOptions,
    isEmpty: boolean,
    onMany: (count: number) => void,
  ): Promise<(() => void) | undefined> {
    if (this.#open >= MOST_OPEN || this.#held >= MOST_HELD) return undefined;
    this.#open++;
    if (isEmpty || this.#isDue()) {
      this.#held++;
      await this.#guard.pass('caller', SHORT_ONES, options);
      this.#held--;
    }
    const areMany = this.#open >= MANY_OPEN;
    if (areMany && !isEmpty && !this.#areManyReported) {
      this.#areManyReported = true;
      onMany(this.#open);
    }
    // Open iterations know the leader, so a new one gets its first answer at once. Without a timer, a loop that
    // leaves its iterations open would never let the event loop turn.
    if (isEmpty || areMany) await this.#clock.sleep(1);
    const begunAtMs = this.#clock.now();
    const chain = this.#chain;
    let isOver = false;
    return () => {
      if (isOver) return;
      isOver = true;
      this.#open--;
      if (!isEmpty && this.#clock.now() - begunAtMs < LASTS_MS) this.#countShort(chain);
    };
  }

  /** Whether an iteration must pass the guard, because of earlier short ones. */
  #isDue(): boolean {
    const isRoundDue = this.#isRoundDue;
    this.#isRoundDue = false;
    return isRoundDue || admitNew(this.#sideBySide, false, this.#clock.now(), SIDE_BY_SIDE).holdMs > 0;
  }

  /** @param chain the chain when the iteration began. */
  #countShort(chain: number): void {
    if (chain === this.#chain) {
      this.#chain++;
      this.#isRoundDue = true;
    } else this.#sideBySide = admitNew(this.#sideBySide, false, this.#clock.now(), SIDE_BY_SIDE).budget;
  }
}

export const iterationsOf = (scope: ElectionScope): Iterations =>
  shared('iterations', keyOf(scope, 'iterations'), () => new Iterations(electionGuard(scope, 'iterations')));
