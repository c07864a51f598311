/**
 * How fast elections that this process has never seen may come, as a value.
 *
 * A guard for each election cannot see a loop that invents a new name each turn. But a program may mean to stand
 * in ten thousand elections, and must not be slowed. What tells the two apart is not the number: a program starts
 * its elections **side by side**, because each may wait for its turn for ever; a loop starts the next when the one
 * before has come through, **one by one**. So each kind has a bucket of its own, and both fill up slowly.
 */

/** New elections that may come side by side before any is held back. */
export const SIDE_BY_SIDE = 16_384;
/** New elections that may come one by one before any is held back. */
export const ONE_BY_ONE = 300;
/** Each so many milliseconds one more may come. */
export const MS_PER_NEWCOMER = 3_000;

/** How many may come at once, side by side and one by one, and then one more each so many milliseconds. */
export interface CrowdLimits {
  readonly sideBySide: number;
  readonly oneByOne: number;
  readonly msPerOne: number;
}

const NEW_ELECTIONS: CrowdLimits = {
  sideBySide: SIDE_BY_SIDE,
  oneByOne: ONE_BY_ONE,
  msPerOne: MS_PER_NEWCOMER,
};

export interface NewElectionBudget {
  /** Those that may still come at once; below zero: so many wait already. */
  readonly all: number;
  readonly oneByOne: number;
  readonly countedAtMs: number;
}

export const fullNewElectionBudget = (
  nowMs: number,
  limits: CrowdLimits = NEW_ELECTIONS,
): NewElectionBudget => ({
  all: limits.sideBySide,
  oneByOne: limits.oneByOne,
  countedAtMs: nowMs,
});

/** So many came one by one of late that the next ones need not tell their whole story. */
export const areMany = ({ oneByOne }: NewElectionBudget): boolean => oneByOne < ONE_BY_ONE - 100;

/** One more election that was never seen before: how long must it wait? */
export function admitNew(
  budget: NewElectionBudget,
  alone: boolean,
  nowMs: number,
  limits: CrowdLimits = NEW_ELECTIONS,
): { budget: NewElectionBudget; holdMs: number } {
  const earned = Math.max(0, nowMs - budget.countedAtMs) / limits.msPerOne;
  const all = Math.min(limits.sideBySide, budget.all + earned) - 1;
  const oneByOne = Math.min(limits.oneByOne, budget.oneByOne + earned) - (alone ? 1 : 0);
  const missing = Math.max(0, -all, alone ? -oneByOne : 0);
  const countedAtMs = Math.max(nowMs, budget.countedAtMs);
  return { budget: { all, oneByOne, countedAtMs }, holdMs: missing * limits.msPerOne };
}
