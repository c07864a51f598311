/**
 * Elections that this process sees for the first time: the rules of core/new-election-budget, one for all of them.
 */
import {
  areMany,
  fullNewElectionBudget,
  admitNew,
  type NewElectionBudget,
} from '../core/new-election-budget.ts';
import { shared } from './registry.ts';
import { clock } from '../util/clock.ts';

/** So many that are held back at once are a flood: no honest program has them wait. */
export const MOST_HELD = 1_000;

export class NewElectionLimiter {
  #budget: NewElectionBudget;
  /** New elections whose first campaign has neither succeeded nor ended. An election that arrives now runs beside them. */
  readonly #underWay = new Set<object>();
  #heldUntilMs: number[] = [];
  #count = 0;
  #isTripped = false;

  constructor(nowMs: number) {
    this.#budget = fullNewElectionBudget(nowMs);
  }

  /** One that was never seen comes. @returns how long it must wait, and whether it is the first that must. */
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

  /** How many have come so far. */
  get count(): number {
    return this.#count;
  }

  /** Whether a loop seems to make them: the burst of log lines that each may write at first would have no end. */
  get areMany(): boolean {
    return areMany(this.#budget);
  }

  /** It stands in the queue, or has given up. */
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
