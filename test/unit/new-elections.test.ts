import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { NewElectionLimiter, MOST_HELD } from '../../src/loop-guard/new-elections.ts';
import {
  MS_PER_NEW_ELECTION,
  fullNewElectionBudget,
  ONE_BY_ONE,
  SIDE_BY_SIDE,
  admitNew,
} from '../../src/core/new-election-budget.ts';
import { LoopGuard, MOST_CAMPAIGNS } from '../../src/loop-guard/loop-guard.ts';

/**
 * Elections that start alone or beside others.
 * @returns when each may continue.
 */
function arrive(comings: readonly { readonly afterMs: number; readonly alone: boolean }[]): number[] {
  let nowMs = 0;
  let budget = fullNewElectionBudget(nowMs);
  return comings.map(({ afterMs, alone }) => {
    nowMs += afterMs;
    const verdict = admitNew(budget, alone, nowMs);
    budget = verdict.budget;
    return nowMs + verdict.holdMs;
  });
}

describe('elections that are new to the process', () => {
  test('G3: 10,000 that start concurrently are not held', () => {
    const comings = Array.from({ length: 10_000 }, (_, i) => ({ afterMs: 0, alone: i === 0 }));
    expect(new Set(arrive(comings))).toEqual(new Set([0]));
  });

  test('G3: a loop with a new name each turn gets its burst, then one every two seconds', () => {
    let nowMs = 0;
    let budget = fullNewElectionBudget(nowMs);
    let rounds = 0;
    while (nowMs < 10 * 60_000) {
      const verdict = admitNew(budget, true, nowMs);
      budget = verdict.budget;
      nowMs += verdict.holdMs + 1; // it awaits the round, which takes a millisecond
      rounds++;
    }
    expect(rounds).toBeGreaterThan(ONE_BY_ONE);
    expect(rounds).toBeLessThanOrEqual(ONE_BY_ONE + (10 * 60_000) / MS_PER_NEW_ELECTION + 1);
  });

  test('G3: in any period, at most the burst and one election per refill time start one by one', () => {
    const anyComings = fc.array(
      fc.record({ afterMs: fc.integer({ min: 0, max: 500 }), alone: fc.boolean() }),
      { minLength: ONE_BY_ONE, maxLength: 2 * ONE_BY_ONE },
    );
    fc.assert(
      fc.property(anyComings, (comings) => {
        const alone = arrive(comings).filter((_, i) => comings[i]!.alone);
        alone.sort((a, b) => a - b);
        for (let from = 0; from < alone.length; from += 37) {
          const spanMs = alone.at(-1)! - alone[from]!;
          expect(alone.length - from).toBeLessThanOrEqual(ONE_BY_ONE + spanMs / MS_PER_NEW_ELECTION + 1);
        }
      }),
      { numRuns: 20 },
    );
  });

  test('G1: no delay is ever NaN, infinite or negative, and a clock that goes back earns nothing', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ nowMs: fc.integer({ min: -1e9, max: 1e9 }), alone: fc.boolean() }), {
          maxLength: 100,
        }),
        (comings) => {
          let budget = fullNewElectionBudget(0);
          let latestMs = 0;
          for (const { nowMs, alone } of comings) {
            const before = budget;
            const verdict = admitNew(budget, alone, nowMs);
            budget = verdict.budget;
            expect(Number.isFinite(verdict.holdMs) && verdict.holdMs >= 0).toBe(true);
            if (nowMs <= latestMs) expect(budget.all).toBe(before.all - 1);
            latestMs = Math.max(latestMs, nowMs);
            expect(budget.all).toBeLessThan(SIDE_BY_SIDE);
          }
        },
      ),
    );
  });
});

describe('the limiter of new elections', () => {
  test('G3: an election that starts while another is starting counts as concurrent, otherwise as single', () => {
    const together = new NewElectionLimiter(0);
    for (let i = 0; i < 2 * ONE_BY_ONE; i++) expect(together.admitNew({}, 0).holdMs).toBe(0);

    const apart = new NewElectionLimiter(0);
    const holds = Array.from({ length: ONE_BY_ONE + 2 }, () => {
      const newcomer = {};
      const { holdMs } = apart.admitNew(newcomer, 0);
      apart.leave(newcomer);
      return holdMs;
    });
    expect(holds.slice(0, ONE_BY_ONE).every((holdMs) => holdMs === 0)).toBe(true);
    expect(holds.slice(ONE_BY_ONE)).toEqual([MS_PER_NEW_ELECTION, 2 * MS_PER_NEW_ELECTION]);
  });

  test('G6: trips once, and again only after a quiet period', () => {
    const guard = new NewElectionLimiter(0);
    const come = (nowMs: number): boolean => {
      const newcomer = {};
      const { trips } = guard.admitNew(newcomer, nowMs);
      guard.leave(newcomer);
      return trips;
    };
    const trips = Array.from({ length: ONE_BY_ONE + 10 }, () => come(0));
    expect(trips.filter(Boolean)).toHaveLength(1);
    expect(come(10 * MS_PER_NEW_ELECTION)).toBe(false);
    expect(come(11 * MS_PER_NEW_ELECTION)).toBe(false);
    const quietMs = 2 * ONE_BY_ONE * MS_PER_NEW_ELECTION;
    const again = Array.from({ length: ONE_BY_ONE + 10 }, () => come(quietMs));
    expect(again.filter(Boolean)).toHaveLength(1);
  });

  test('G5: holds a bounded number', () => {
    const guard = new NewElectionLimiter(0);
    for (let i = 0; i < SIDE_BY_SIDE; i++) guard.admitNew({}, 0);
    expect(guard.isFlooded(0)).toBe(false);
    for (let i = 0; i < MOST_HELD; i++) guard.admitNew({}, 0);
    expect(guard.isFlooded(0)).toBe(true);
    expect(guard.isFlooded(10 * MS_PER_NEW_ELECTION)).toBe(false);
  });
});

test('G3: the number of campaigns of one election in a process is bounded; ended ones do not count', () => {
  const guard = new LoopGuard('k', 'e');
  const leave = Array.from({ length: MOST_CAMPAIGNS }, () => guard.admitCampaign());
  expect(leave.every((over) => over !== undefined)).toBe(true);
  expect(guard.admitCampaign()).toBeUndefined();
  leave[0]!();
  expect(guard.admitCampaign()).toBeDefined();
});
