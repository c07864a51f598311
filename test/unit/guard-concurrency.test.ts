import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { defaultGuardSettings, LoopGuard } from '../../src/loop-guard/loop-guard.ts';
import { SystemClock, type Clock } from '../../src/util/clock.ts';
import { FakeClock } from '../support/fake-clock.ts';

const settings = defaultGuardSettings;
const FIVE_MINUTES_MS = 300_000;

/**
 * Concurrent loops on one guard, each with its own duration of a round.
 * @returns when their rounds continued.
 */
async function loops(
  guard: LoopGuard,
  clock: FakeClock,
  tookMs: readonly number[],
  origin: 'caller' | 'environment',
  forMs: number,
): Promise<number[]> {
  const zero = clock.now();
  const stop = new AbortController();
  const rounds: number[] = [];
  const running = tookMs.map(async (ms) => {
    while (!stop.signal.aborted) {
      await guard.pass(origin, settings, { signal: stop.signal });
      if (stop.signal.aborted) return;
      rounds.push(clock.now() - zero);
      if (ms > 0) await clock.sleep(ms, stop.signal);
    }
  });
  await clock.advance(forMs);
  stop.abort();
  await Promise.all(running);
  return rounds.sort((a, b) => a - b);
}

describe('concurrent callers', () => {
  test('G1, G5: in any period, at most the burst and one round each per shortest hold', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 0, max: 3_000 }), { minLength: 1, maxLength: 8 }),
        fc.constantFrom('caller' as const, 'environment' as const),
        async (tookMs, origin) => {
          const clock = new FakeClock();
          const guard = new LoopGuard('k', 'e', clock);
          const rounds = await loops(guard, clock, tookMs, origin, FIVE_MINUTES_MS);
          for (let from = 0; from < rounds.length; from += 3)
            for (let to = from; to < rounds.length; to += 3) {
              const spanMs = rounds[to]! - rounds[from]!;
              const most = settings.burst + tookMs.length * (1 + spanMs / settings.baseMs);
              expect(to - from + 1).toBeLessThanOrEqual(most);
            }
          // In the long run each round is held for at least a third of the cap.
          const lastMinute = rounds.filter((atMs) => atMs > FIVE_MINUTES_MS - 60_000).length;
          const capMs = origin === 'caller' ? settings.capMs : settings.outsideCapMs;
          expect(lastMinute).toBeLessThanOrEqual(tookMs.length * (1 + 60_000 / (capMs / 3)));
        },
      ),
      { numRuns: 25 },
    );
  });

  test('G5: five loops that fail at once make at most two rounds a second, and soon far fewer', async () => {
    const clock = new FakeClock();
    const guard = new LoopGuard('k', 'e', clock);
    const rounds = await loops(guard, clock, [0, 0, 0, 0, 0], 'caller', FIVE_MINUTES_MS);
    const later = rounds.filter((atMs) => atMs > 60_000).length;
    expect(later / (FIVE_MINUTES_MS - 60_000)).toBeLessThan(2 / 1_000 / 4);
  });
});

describe('the clock', () => {
  test('G1: a wall clock that is set forward or back changes no hold', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: -1e10, max: 1e10 }), { maxLength: 20 }), async (steps) => {
        let monotonicMs = 0;
        let wallMs = 1e12;
        const system = new SystemClock({
          monotonicMs: () => monotonicMs,
          wallMs: () => wallMs,
          bootMs: () => monotonicMs,
        });
        const held: number[] = [];
        const clock: Clock = {
          now: () => system.now(),
          sleep: (ms) => {
            held.push(ms);
            monotonicMs += ms;
            wallMs += ms;
            return Promise.resolve();
          },
        };
        const guard = new LoopGuard('k', 'e', clock);
        for (let i = 0; i < settings.burst; i++) await guard.pass('caller', settings);
        for (const step of steps) {
          wallMs += step;
          await guard.pass('caller', settings);
        }
        expect(held).toHaveLength(steps.length);
        for (const ms of held) {
          expect(ms).toBeGreaterThanOrEqual(settings.baseMs);
          expect(ms).toBeLessThanOrEqual(settings.capMs);
        }
      }),
    );
  });
});
