/**
 * Limits elections that are new to this process, by the rules of core/new-election-budget.
 */
import {
  areMany,
  fullNewElectionBudget,
  admitNew,
  type NewElectionBudget,
} from '../core/new-election-budget.ts';
import { shared } from './registry.ts';
import { clock } from '../util/clock.ts';

/** If this many new elections wait at once, they must come from a loop. */
export const MOST_HELD = 1_000;

export class NewElectionLimiter {
  #budget: NewElectionBudget;
  /**
   * New elections whose first campaign has neither entered the queue nor ended. While this set is not empty, a further new
   * election does not look like the next round of a loop.
   */
  readonly #underWay = new Set<object>();
  #heldUntilMs: number[] = [];
  #count = 0;
  #isTripped = false;

  constructor(nowMs: number) {
    this.#budget = fullNewElectionBudget(nowMs);
  }

  /**
   * Admits a new election. @returns how long it must wait, and whether it is the first one that must wait since the
   * limiter recovered.
   */
  admitNew(election: object, nowMs: number): { holdMs: number; trips: boolean } {
    const { budget, holdMs } = admitNew(this.#budget, this.#underWay.size === 0, nowMs);
    this.#budget = budget;
    this.#underWay.add(election);
    this.#count++;
    if (holdMs > 0) this.#heldUntilMs.push(nowMs + holdMs);
    const trips = holdMs > 0 && !this.#isTripped;
    this.#isTripped = holdMs > 0 || (this.#isTripped && this.areMany);
    return { holdMs, trips };
  }

  get count(): number {
    return this.#count;
  }

  /** Whether a loop seems to create elections. Then new ones get no burst of log lines. */
  get areMany(): boolean {
    return areMany(this.#budget);
  }

  /** The first campaign of the election has entered the queue, or has ended. */
  leave(election: object): void {
    this.#underWay.delete(election);
  }

  isFlooded(nowMs: number): boolean {
    if (this.#heldUntilMs.length < MOST_HELD) return false;
    this.#heldUntilMs = this.#heldUntilMs.filter((untilMs) => untilMs > nowMs);
    return this.#heldUntilMs.length >= MOST_HELD;
  }
}

export const newElectionLimiter = (): NewElectionLimiter =>
  shared('new-elections', '', () => new NewElectionLimiter(clock.now()));
