/**
 * Limits how fast a process may start elections under new names. A program may start ten thousand elections **side by side**. A
 * loop starts them **one by one**: each after the previous one has succeeded. So a large token bucket counts all starts, and a
 * small one only those that are made one by one. See docs/decisions/0005-new-names.md.
 */

/** How many new elections may start side by side before one is delayed. */
export const SIDE_BY_SIDE = 16_384;
/** How many new elections may start one by one before one is delayed. */
export const ONE_BY_ONE = 300;
/** How long a bucket takes to refill by one election, in milliseconds. */
export const MS_PER_NEW_ELECTION = 3_000;

/** The sizes of both buckets, and the milliseconds in which they refill by one. */
export interface CrowdLimits {
  readonly sideBySide: number;
  readonly oneByOne: number;
  readonly msPerOne: number;
}

const NEW_ELECTIONS: CrowdLimits = {
  sideBySide: SIDE_BY_SIDE,
  oneByOne: ONE_BY_ONE,
  msPerOne: MS_PER_NEW_ELECTION,
};

export interface NewElectionBudget {
  /** How many may still start without a delay. A negative number says how many wait already. */
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

/** Whether many elections have started one by one recently. If so, the next ones log less. */
export const areMany = ({ oneByOne }: NewElectionBudget): boolean => oneByOne < ONE_BY_ONE - 100;

/**
 * Admits one more new election, and computes how long it must wait.
 *
 * @param isOneByOne whether no other new election is starting at this moment.
 */
export function admitNew(
  budget: NewElectionBudget,
  isOneByOne: boolean,
  nowMs: number,
  limits: CrowdLimits = NEW_ELECTIONS,
): { budget: NewElectionBudget; holdMs: number } {
  const earned = Math.max(0, nowMs - budget.countedAtMs) / limits.msPerOne;
  const all = Math.min(limits.sideBySide, budget.all + earned) - 1;
  const oneByOne = Math.min(limits.oneByOne, budget.oneByOne + earned) - (isOneByOne ? 1 : 0);
  const missing = Math.max(0, -all, isOneByOne ? -oneByOne : 0);
  const countedAtMs = Math.max(nowMs, budget.countedAtMs);
  return { budget: { all, oneByOne, countedAtMs }, holdMs: missing * limits.msPerOne };
}
