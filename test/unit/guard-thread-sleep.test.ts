import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import {
  CALLS_PER_TURN,
  countSyncCall,
  countElection,
  ELECTIONS_PER_TURN,
  LONGEST_SLEEP_MS,
  SLEEP_PER_TURN_MS,
  REFUSALS_AT_ONCE,
  REFUSALS_PER_SECOND,
  refusals,
  THROWS_UNTIL_SLEEP,
} from '../../src/loop-guard/sync-flood.ts';
import { RunawayLoopError } from '../../src/errors.ts';

/** Sleeps of the thread, in milliseconds; no real sleep happens here. */
let sleptMs: number[];

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

beforeEach(() => {
  sleptMs = [];
  vi.spyOn(Atomics, 'wait').mockImplementation(((...args: unknown[]) => {
    sleptMs.push(args[3] as number);
    return 'timed-out';
  }) as typeof Atomics.wait);
});

afterEach(async () => {
  vi.restoreAllMocks();
  await nextTurn();
  await nextTurn();
});

/**
 * A loop that never lets the event loop turn, and swallows every error.
 * @returns the number of errors.
 */
function swallow(calls: number, call: (i: number) => void): number {
  let thrown = 0;
  for (let i = 0; i < calls; i++)
    try {
      call(i);
    } catch (error) {
      expect(error).toBeInstanceOf(RunawayLoopError);
      thrown++;
    }
  return thrown;
}

describe('a loop that swallows the throw', () => {
  test('G4: 10,000 calls in one turn end without a sleep, because that loop ends by itself', () => {
    expect(swallow(10_000, () => countSyncCall('ends', 'ends'))).toBe(10_000 - CALLS_PER_TURN);
    expect(sleptMs).toEqual([]);
  });

  test('G4, G5: an endless one sleeps longer and longer, up to 100 ms at a time', () => {
    swallow(CALLS_PER_TURN + THROWS_UNTIL_SLEEP + 5_000, () => countSyncCall('does not end', 'e'));
    expect(sleptMs).toHaveLength(5_000);
    expect(sleptMs).toEqual([...sleptMs].sort((a, b) => a - b));
    expect(sleptMs[0]).toBe(1);
    expect(sleptMs.at(-1)).toBe(LONGEST_SLEEP_MS);
    // With 10 s of sleep it has made about a thousand calls of some microseconds, so well below 1 % of a core.
    let asleepMs = 0;
    const callsIn10Seconds = sleptMs.findIndex((ms) => (asleepMs += ms) > 10_000);
    expect(callsIn10Seconds).toBeLessThan(1_000);
  });

  test('G4: new elections under ever new names have a limit of their own', () => {
    const thrown = swallow(ELECTIONS_PER_TURN + 10, (i) => countElection(`shard-${i}`));
    expect(thrown).toBe(10);
  });

  test('G4: the next turn starts from zero', async () => {
    swallow(CALLS_PER_TURN + THROWS_UNTIL_SLEEP + 10, () => countSyncCall('over', 'e'));
    await nextTurn();
    await nextTurn();
    sleptMs = [];
    expect(swallow(CALLS_PER_TURN, () => countSyncCall('over', 'e'))).toBe(0);
    expect(sleptMs).toEqual([]);
  });
});

describe('a loop that lets the event loop turn, and ignores refusals', () => {
  test('G5: sleeps once a turn, and only after two thousand refusals', async () => {
    let nowMs = 1e9;
    for (let i = 0; i < REFUSALS_AT_ONCE - 1; i++) refusals.count(nowMs);
    expect(sleptMs).toEqual([]);
    for (let i = 0; i < 100; i++) refusals.count(nowMs);
    expect(sleptMs).toEqual([SLEEP_PER_TURN_MS]);
    await nextTurn();
    await nextTurn();
    refusals.count(nowMs);
    expect(sleptMs).toEqual([SLEEP_PER_TURN_MS, SLEEP_PER_TURN_MS]);

    // Refusals as rare as in a loop that awaits them never reach this limit.
    nowMs += 1e6;
    await nextTurn();
    await nextTurn();
    for (let i = 0; i < 100; i++) refusals.count((nowMs += 1_000 / REFUSALS_PER_SECOND));
    expect(sleptMs).toHaveLength(2);
  });

  test('G5: time asleep earns no calls: the loop sleeps in every turn, not in every other turn', async () => {
    let nowMs = 5e9;
    for (let i = 0; i < REFUSALS_AT_ONCE; i++) refusals.count(nowMs);
    for (let turn = 1; turn <= 20; turn++) {
      expect(sleptMs).toHaveLength(turn);
      await nextTurn();
      await nextTurn();
      refusals.count((nowMs += SLEEP_PER_TURN_MS + 1));
    }
  });

  test('a service that refuses ten callers a second never sleeps', () => {
    let nowMs = 7e9;
    for (let i = 0; i < 10 * 3_600; i++) refusals.count((nowMs += 100));
    expect(sleptMs).toEqual([]);
  });

  test('G1: a clock that goes back has no effect', () => {
    refusals.count(3e9);
    for (let i = 0; i < 100; i++) refusals.count(1e9);
    refusals.count(Number.MAX_SAFE_INTEGER);
    for (let i = 0; i < REFUSALS_AT_ONCE / 2; i++) refusals.count(Number.MAX_SAFE_INTEGER);
    expect(sleptMs).toEqual([]);
  });
});
