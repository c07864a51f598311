import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { CallLimiter } from '../../src/loop-guard/call-limits.ts';
import type { CallKind } from '../../src/loop-guard/public-calls.ts';
import { EndpointCalls, endpointCallsOf } from '../../src/loop-guard/endpoint-calls.ts';
import { defaultGuardSettings } from '../../src/loop-guard/loop-guard.ts';
import { SLEEP_PER_TURN_MS } from '../../src/loop-guard/sync-flood.ts';
import { FakeClock } from '../support/fake-clock.ts';

/**
 * A loop that reads again as soon as it has its answer.
 * @returns the number of its reads.
 */
async function reads(answerMs: number, pauseMs: number, forMs: number): Promise<number> {
  const clock = new FakeClock();
  const calls = new EndpointCalls(clock);
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
  test('G1: share one budget, whatever the name and the client', () => {
    const scope = { endpoints: ['a:1', 'b:2'], prefix: 'p/', election: 'e' };
    expect(endpointCallsOf({ ...scope, election: 'other', prefix: 'q/' })).toBe(endpointCallsOf(scope));
    expect(endpointCallsOf({ ...scope, endpoints: ['c:3'] })).not.toBe(endpointCallsOf(scope));
  });

  test('G1: a loop is held after 300 reads; a slow answer is not a pause', async () => {
    expect(await reads(5, 0, 600_000)).toBeLessThan(300 + 620);
    expect(await reads(200, 0, 600_000)).toBeLessThan(300 + 560);
  });

  test('a reader that pauses between its reads is never held', async () => {
    expect(await reads(5, 95, 600_000)).toBeGreaterThan(5_990);
  });
});

describe('un-awaited calls', () => {
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
    expect(slept.every((ms) => ms === SLEEP_PER_TURN_MS)).toBe(true);
    return slept.length;
  }

  test.each(['campaign', 'read', 'register', 'fail', 'write', 'build'] as const)(
    'G5: %s: 20,000 calls at once are not delayed; then the thread sleeps in each turn',
    async (kind) => {
      expect(await flood(kind, 19_000)).toBe(0);
      expect(await flood(kind, 15_000)).toBeGreaterThan(3);
    },
  );

  test('G5: close(), resign(), stepDown() and observe() make the thread sleep sooner: honest programs make few such calls', async () => {
    for (const kind of ['end', 'observe'] as const) expect(await flood(kind, 25_000)).toBeGreaterThan(3);
  });
});

describe('failing writes of a term', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  test('G1: are delayed in a loop until the term is over, and then no timer remains', async () => {
    const scope = { endpoints: ['x:1'], prefix: '', election: 'failed writes' };
    const limiter = new CallLimiter(scope, defaultGuardSettings, {
      tripped: () => undefined,
      recovered: () => undefined,
    });
    let isShut = false;
    let failed = 0;
    const write = async (): Promise<void> => {
      const sent = async (): Promise<never> => {
        await Promise.resolve();
        throw new Error('no answer');
      };
      await limiter.write(write, sent, () => isShut).catch(() => failed++);
    };
    for (let i = 0; i < defaultGuardSettings.burst; i++) {
      void write();
      await vi.advanceTimersByTimeAsync(1);
    }
    const burst = failed;
    void write();
    await vi.advanceTimersByTimeAsync(1);
    expect([burst, failed]).toEqual([defaultGuardSettings.burst, defaultGuardSettings.burst]);

    isShut = true;
    limiter.termOver();
    for (let i = 0; i < 100; i++) void write();
    await vi.advanceTimersByTimeAsync(1);
    expect(failed).toBe(burst + 101);
    expect(vi.getTimerCount()).toBe(0);
  });

  test('G6: the end of the term reports the recovery, once, if a trip was reported', async () => {
    const scope = { endpoints: ['x:1'], prefix: '', election: 'recovered writes' };
    const listener = { tripped: vi.fn(), recovered: vi.fn() };
    const limiter = new CallLimiter(scope, defaultGuardSettings, listener);
    const write = async (): Promise<void> => {
      const sent = async (): Promise<never> => {
        await Promise.resolve();
        throw new Error('no answer');
      };
      await limiter.write(write, sent).catch(() => undefined);
    };
    limiter.termOver(); // no write has failed yet
    for (let i = 0; i < defaultGuardSettings.burst; i++) {
      void write();
      await vi.advanceTimersByTimeAsync(1);
    }
    limiter.termOver();
    expect(listener.recovered).not.toHaveBeenCalled();

    for (let i = 0; i <= defaultGuardSettings.burst; i++) {
      void write();
      await vi.advanceTimersByTimeAsync(1);
    }
    expect(listener.tripped).toHaveBeenCalledOnce();
    limiter.termOver();
    limiter.termOver();
    expect(listener.recovered).toHaveBeenCalledOnce();
    await vi.advanceTimersByTimeAsync(1);
  });
});
