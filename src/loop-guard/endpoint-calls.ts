/**
 * Limits the reads and cheap calls of all elections on the same endpoints. The guard of one election does not see a
 * loop that uses another name or prefix in every round. A loop makes its calls one by one, but an ordinary program may make
 * many side by side. So each of these two ways has its own limit.
 */
import { fullNewElectionBudget, admitNew, type CrowdLimits } from '../core/new-election-budget.ts';
import type { ElectionScope } from './guard-key.ts';
import { privateGuard, type GuardSettings, type LoopGuard } from './loop-guard.ts';
import { shared } from './registry.ts';
import { SharedDelay } from './shared-delay.ts';
import { clock, type Clock } from '../util/clock.ts';

/**
 * Calls one by one: the first 300 are not delayed. Then the delays grow to one second. Every pause of 50 ms forgives
 * one call.
 */
const ONE_BY_ONE: GuardSettings = {
  burst: 300,
  baseMs: 50,
  capMs: 1_000,
  outsideCapMs: 1_000,
  healthyAfterMs: 50,
};

/** Reads side by side: 5,000 at once, then 20 a second. */
const SIDE_BY_SIDE: CrowdLimits = { sideBySide: 5_000, oneByOne: Infinity, msPerOne: 50 };

/** How many reads may wait. Each costs memory. */
const MOST_WAITING = 1_000;

export class EndpointCalls {
  readonly #clock: Clock;
  readonly #idle: SharedDelay;
  readonly #oneByOne: LoopGuard;
  #budget: ReturnType<typeof fullNewElectionBudget>;
  #underWay = 0;
  #waiting = 0;

  constructor(time: Clock = clock) {
    this.#clock = time;
    this.#idle = new SharedDelay(privateGuard(time), time);
    this.#oneByOne = privateGuard(time);
    this.#budget = fullNewElectionBudget(time.now(), SIDE_BY_SIDE);
  }

  /** Resolves when a cheap call may get its answer. */
  async idle(): Promise<void> {
    await this.#idle.pass(ONE_BY_ONE);
  }

  /**
   * Resolves when a read or a watch may begin, or when the signal aborts.
   *
   * @param ofElection the election's own guard, which a read passes before the shared limit; undefined for a watch.
   * @returns a function to call when the read is over; undefined if too many reads already wait.
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
      // The time that etcd takes to answer is not a pause of the caller.
      ofElection?.guard.ended();
      this.#oneByOne.ended();
    };
  }
}

export const endpointCallsOf = ({ endpoints }: ElectionScope): EndpointCalls =>
  shared('endpoint-calls', JSON.stringify(endpoints), () => new EndpointCalls());
