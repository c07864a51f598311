/**
 * What callers ask of all elections on the same endpoints: a guard for each election cannot see a loop that takes another
 * name, or another client, each turn. As with new elections, a loop begins the next when the one before has come
 * through; what a program means begins side by side.
 */
import { fullNewElectionBudget, admitNew, type CrowdLimits } from '../core/new-election-budget.ts';
import type { ElectionScope } from './guard-key.ts';
import { LoopGuard, type GuardSettings } from './loop-guard.ts';
import { shared } from './registry.ts';
import { SingleFlight } from './single-flight.ts';
import { clock, type Clock } from '../util/clock.ts';

/** One by one: 300 at once, then fewer and fewer, down to one a second; each pause of 50 ms forgives one. */
const ONE_BY_ONE: GuardSettings = {
  burst: 300,
  baseMs: 50,
  capMs: 1_000,
  outsideCapMs: 1_000,
  healthyAfterMs: 50,
};

/** Reads side by side: 5,000 at once, then 20 a second, in a line. */
const SIDE_BY_SIDE: CrowdLimits = { sideBySide: 5_000, oneByOne: Infinity, msPerOne: 50 };

/** So many reads may wait; each costs memory. */
const MOST_WAITING = 1_000;

export class ClientCalls {
  readonly #clock: Clock;
  readonly #idle: SingleFlight;
  readonly #oneByOne: LoopGuard;
  #budget: ReturnType<typeof fullNewElectionBudget>;
  #underWay = 0;
  #waiting = 0;

  constructor(time: Clock = clock) {
    this.#clock = time;
    this.#idle = new SingleFlight(new LoopGuard('', '', time), time);
    this.#oneByOne = new LoopGuard('', '', time);
    this.#budget = fullNewElectionBudget(time.now(), SIDE_BY_SIDE);
  }

  /** A call that has nothing to do, or is refused: resolves when it may have its answer. */
  async idle(): Promise<void> {
    await this.#idle.pass(ONE_BY_ONE);
  }

  /**
   * A read or a watch wants to begin. Resolves when it may, or when the signal aborts.
   *
   * @param ofElection the guard that reads of this election pass before; undefined for a watch.
   * @returns what to call when it is over; undefined where so many wait already that a loop must be making them.
   */
  async begin(
    signal: AbortSignal,
    ofElection?: { readonly guard: LoopGuard; readonly settings: GuardSettings },
  ): Promise<(() => void) | undefined> {
    const isAlone = this.#underWay === 0;
    const { budget, holdMs } = admitNew(this.#budget, isAlone, this.#clock.now(), SIDE_BY_SIDE);
    const isHeld = holdMs > 0 || (ofElection?.guard.status(ofElection.settings).heldForMs ?? 0) > 0;
    if (isHeld && this.#waiting >= MOST_WAITING) return undefined;
    this.#budget = budget;
    this.#underWay++;
    this.#waiting++;
    await ofElection?.guard.pass('environment', ofElection.settings, { signal });
    if (isAlone) await this.#oneByOne.pass('environment', ONE_BY_ONE, { signal });
    if (holdMs > 0) await this.#clock.sleep(holdMs, signal);
    this.#waiting--;
    let isOver = false;
    return () => {
      if (isOver) return;
      isOver = true;
      this.#underWay--;
      // A slow answer is no pause of the caller's.
      ofElection?.guard.ended();
      this.#oneByOne.ended();
    };
  }
}

export const clientCallsOf = ({ endpoints }: ElectionScope): ClientCalls =>
  shared('client-calls', JSON.stringify(endpoints), () => new ClientCalls());
