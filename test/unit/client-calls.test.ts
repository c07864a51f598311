import { afterEach, describe, expect, test, vi } from 'vitest';
import { CallLimiter, type CallKind } from '../../src/loop-guard/call-limits.ts';
import { ClientCalls, clientCallsOf } from '../../src/loop-guard/client-calls.ts';
import { defaultGuardSettings } from '../../src/loop-guard/loop-guard.ts';
import { PARK_PER_TURN_MS } from '../../src/loop-guard/sync-flood.ts';
import { FakeClock } from '../support/fake-clock.ts';

/** A loop that reads again as soon as it has its answer. @returns how many reads it made. */
async function reads(answerMs: number, pauseMs: number, forMs: number): Promise<number> {
  const clock = new FakeClock();
  const calls = new ClientCalls(clock);
  const { signal } = new AbortController();
  let count = 0;
  let isOver = false;
  const loop = (async () => {
    while (!isOver) {
      const end = await calls.begin(signal);
      await clock.sleep(answerMs);
      end!();
      count++;
      await clock.sleep(pauseMs);
    }
  })();
  await clock.advance(forMs);
  isOver = true;
  await clock.advance(60_000);
  await loop;
  return count;
}

describe('reads of any name', () => {
  test('G1: have one budget, whatever the name and the client', () => {
    const scope = { endpoints: ['a:1', 'b:2'], prefix: 'p/', election: 'e' };
    expect(clientCallsOf({ ...scope, election: 'other', prefix: 'q/' })).toBe(clientCallsOf(scope));
    expect(clientCallsOf({ ...scope, endpoints: ['c:3'] })).not.toBe(clientCallsOf(scope));
  });

  test('G1: a loop is held after three hundred; a slow answer is no pause of its own', async () => {
    expect(await reads(5, 0, 600_000)).toBeLessThan(300 + 620);
    expect(await reads(200, 0, 600_000)).toBeLessThan(300 + 560);
  });

  test('one that pauses between its reads is never held', async () => {
    expect(await reads(5, 95, 600_000)).toBeGreaterThan(5_990);
  });
});

describe('calls that nobody awaits', () => {
  afterEach(() => vi.restoreAllMocks());

  /** @returns how often the thread slept. */
  async function flood(kind: CallKind, calls: number): Promise<number> {
    const waits = vi.spyOn(Atomics, 'wait').mockReturnValue('timed-out');
    const scope = { endpoints: ['x:1'], prefix: '', election: `flood of ${kind}` };
    const limiter = new CallLimiter(scope, defaultGuardSettings, {
      tripped: () => undefined,
      recovered: () => undefined,
    });
    for (let i = 0; i < calls; i++) {
      limiter.count(kind);
      if (i % 900 === 0) for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate);
    }
    const slept = waits.mock.calls.map((call) => call[3]);
    expect(slept.every((ms) => ms === PARK_PER_TURN_MS)).toBe(true);
    return slept.length;
  }

  test.each(['stand', 'read', 'register', 'fail', 'write', 'build'] as const)(
    'G5: %s: twenty thousand may come at once; then the thread sleeps in each turn',
    async (kind) => {
      expect(await flood(kind, 19_000)).toBe(0);
      expect(await flood(kind, 15_000)).toBeGreaterThan(3);
    },
  );

  test('G5: endings and observers sleep sooner: nobody means five hundred a second', async () => {
    for (const kind of ['end', 'observe'] as const) expect(await flood(kind, 25_000)).toBeGreaterThan(3);
  });
});
