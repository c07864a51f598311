/**
 * Reads and watches that callers begin, of all elections of a client: a guard for each election cannot see a loop that
 * asks for another name each turn. As with new elections, a loop begins the next when the one before has come through;
 * what a program means begins side by side.
 */
import { fullNewElectionBudget, admitNew, type CrowdLimits } from '../core/new-election-budget.ts';
import { LoopGuard, type GuardSettings } from './loop-guard.ts';
import { sharedBy } from './registry.ts';
import { clock, type Clock } from '../util/clock.ts';

/** One by one: 300 at once, then fewer and fewer, down to one a second; each pause of 50 ms forgives one. */
const ONE_BY_ONE: GuardSettings = {
  burst: 300,
  baseMs: 50,
  capMs: 1_000,
  outsideCapMs: 1_000,
  healthyAfterMs: 50,
};

/** Side by side: 5,000 at once, then 20 a second, in a line. */
const SIDE_BY_SIDE: CrowdLimits = { sideBySide: 5_000, oneByOne: Infinity, msPerOne: 50 };

/** So many may wait in the line; each costs memory. */
const MOST_WAITING = 1_000;

export class ClientReads {
  readonly #clock: Clock;
  readonly #guard: LoopGuard;
  #budget: ReturnType<typeof fullNewElectionBudget>;
  #underWay = 0;
  #waiting = 0;

  constructor(time: Clock = clock) {
    this.#clock = time;
    this.#guard = new LoopGuard('', '', time);
    this.#budget = fullNewElectionBudget(time.now(), SIDE_BY_SIDE);
  }

  /**
   * One more wants to begin. Resolves when it may, or when the signal aborts.
   *
   * @returns what to call when it is over; undefined where so many wait already that a loop must be making them.
   */
  async begin(signal: AbortSignal): Promise<(() => void) | undefined> {
    const isAlone = this.#underWay === 0;
    const { budget, holdMs } = admitNew(this.#budget, isAlone, this.#clock.now(), SIDE_BY_SIDE);
    if (holdMs > 0 && this.#waiting >= MOST_WAITING) return undefined;
    this.#budget = budget;
    this.#underWay++;
    this.#waiting++;
    if (isAlone) await this.#guard.pass('environment', ONE_BY_ONE, { signal });
    if (holdMs > 0) await this.#clock.sleep(holdMs, signal);
    this.#waiting--;
    let isOver = false;
    return () => {
      if (!isOver) this.#underWay--;
      isOver = true;
    };
  }
}

export const clientReadsOf = (client: object): ClientReads =>
  sharedBy('client-reads', client, () => new ClientReads());
