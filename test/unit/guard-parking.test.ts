import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import {
  CALLS_PER_TURN,
  countSyncCall,
  countElection,
  ELECTIONS_PER_TURN,
  LONGEST_PARK_MS,
  PARK_PER_TURN_MS,
  REFUSALS_AT_ONCE,
  REFUSALS_PER_SECOND,
  refusals,
  THROWS_UNTIL_PARKED,
} from '../../src/loop-guard/sync-flood.ts';
import { RunawayLoopError } from '../../src/errors.ts';

/** Sleeps of the thread, in milliseconds; nobody really sleeps here. */
let parkedMs: number[];

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

beforeEach(() => {
  parkedMs = [];
  vi.spyOn(Atomics, 'wait').mockImplementation(((...args: unknown[]) => {
    parkedMs.push(args[3] as number);
    return 'timed-out';
  }) as typeof Atomics.wait);
});

afterEach(async () => {
  vi.restoreAllMocks();
  await nextTurn();
  await nextTurn();
});

/** A loop that never lets the event loop turn, and swallows whatever is thrown. @returns how often it was. */
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
  test('G4: ten thousand calls in one turn end without a sleep: that loop ends by itself', () => {
    expect(swallow(10_000, () => countSyncCall('ends', 'ends'))).toBe(10_000 - CALLS_PER_TURN);
    expect(parkedMs).toEqual([]);
  });

  test('G4, G5: one that does not end sleeps longer and longer, never longer than 100 ms at a time', () => {
    swallow(CALLS_PER_TURN + THROWS_UNTIL_PARKED + 5_000, () => countSyncCall('does not end', 'e'));
    expect(parkedMs).toHaveLength(5_000);
    expect(parkedMs).toEqual([...parkedMs].sort((a, b) => a - b));
    expect(parkedMs[0]).toBe(1);
    expect(parkedMs.at(-1)).toBe(LONGEST_PARK_MS);
    // Asleep for 10 s it has made about a thousand calls: some microseconds each, so well below 1 % of a core.
    let asleepMs = 0;
    const callsIn10Seconds = parkedMs.findIndex((ms) => (asleepMs += ms) > 10_000);
    expect(callsIn10Seconds).toBeLessThan(1_000);
  });

  test('G4: names that are made up meet a limit of their own', () => {
    const thrown = swallow(ELECTIONS_PER_TURN + 10, (i) => countElection(`shard-${i}`));
    expect(thrown).toBe(10);
  });

  test('G4: the next turn starts from nothing', async () => {
    swallow(CALLS_PER_TURN + THROWS_UNTIL_PARKED + 10, () => countSyncCall('over', 'e'));
    await nextTurn();
    await nextTurn();
    parkedMs = [];
    expect(swallow(CALLS_PER_TURN, () => countSyncCall('over', 'e'))).toBe(0);
    expect(parkedMs).toEqual([]);
  });
});

describe('a loop that turns, waits for no refusal, and goes on', () => {
  test('G5: sleeps once a turn, and only after two thousand refusals', async () => {
    let nowMs = 1e9;
    for (let i = 0; i < REFUSALS_AT_ONCE - 1; i++) refusals.count(nowMs);
    expect(parkedMs).toEqual([]);
    for (let i = 0; i < 100; i++) refusals.count(nowMs);
    expect(parkedMs).toEqual([PARK_PER_TURN_MS]);
    await nextTurn();
    await nextTurn();
    refusals.count(nowMs);
    expect(parkedMs).toEqual([PARK_PER_TURN_MS, PARK_PER_TURN_MS]);

    // Refusals as rare as a loop that awaits them makes them never meet it.
    nowMs += 1e6;
    await nextTurn();
    await nextTurn();
    for (let i = 0; i < 100; i++) refusals.count((nowMs += 1_000 / REFUSALS_PER_SECOND));
    expect(parkedMs).toHaveLength(2);
  });

  test('G5: sleep earns nothing: a loop that goes on sleeps in every turn, and not in every other one', async () => {
    let nowMs = 5e9;
    for (let i = 0; i < REFUSALS_AT_ONCE; i++) refusals.count(nowMs);
    for (let turn = 1; turn <= 20; turn++) {
      expect(parkedMs).toHaveLength(turn);
      await nextTurn();
      await nextTurn();
      refusals.count((nowMs += PARK_PER_TURN_MS + 1));
    }
  });

  test('a service that refuses ten callers a second is never put to sleep', () => {
    let nowMs = 7e9;
    for (let i = 0; i < 10 * 3_600; i++) refusals.count((nowMs += 100));
    expect(parkedMs).toEqual([]);
  });

  test('G1: a clock that goes back makes no difference', () => {
    refusals.count(3e9);
    for (let i = 0; i < 100; i++) refusals.count(1e9);
    refusals.count(Number.MAX_SAFE_INTEGER);
    for (let i = 0; i < REFUSALS_AT_ONCE / 2; i++) refusals.count(Number.MAX_SAFE_INTEGER);
    expect(parkedMs).toEqual([]);
  });
});
