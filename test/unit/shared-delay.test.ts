import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { defaultGuardSettings, LoopGuard, type GuardListener } from '../../src/loop-guard/loop-guard.ts';
import { SharedDelay } from '../../src/loop-guard/shared-delay.ts';
import { FakeClock } from '../support/fake-clock.ts';

const settings = defaultGuardSettings;
const MINUTE_MS = 60_000;

const make = (): { clock: FakeClock; delay: SharedDelay } => {
  const clock = new FakeClock();
  return { clock, delay: new SharedDelay(new LoopGuard('k', 'e', clock), clock) };
};

/**
 * Loops that ask, get their answer, and ask again.
 * @returns the number of answers of each.
 */
async function loops(count: number, forMs: number): Promise<number[]> {
  const { clock, delay } = make();
  const answers = Array.from({ length: count }, () => 0);
  let over = false;
  const running = answers.map(async (_, loop) => {
    while (!over) {
      await delay.pass(settings);
      answers[loop]!++;
    }
  });
  await clock.advance(forMs);
  over = true;
  await clock.advance(settings.capMs);
  await Promise.all(running);
  return answers;
}

describe('the shared delay', () => {
  test('G1: a loop over calls that cost nothing gets a burst, then later and later answers', async () => {
    const [answers] = await loops(1, 10 * MINUTE_MS);
    expect(answers).toBeGreaterThan(settings.burst + 20);
    expect(answers).toBeLessThanOrEqual(settings.burst + 12 + (10 * MINUTE_MS) / (settings.capMs / 3));
  });

  test('G1: each of several concurrent loops is no faster than one alone', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 2, max: 60 }), async (count) => {
        const answers = await loops(count, 2 * MINUTE_MS);
        const most = settings.burst + 12 + (2 * MINUTE_MS) / (settings.capMs / 3);
        for (const each of answers) expect(each).toBeLessThanOrEqual(most);
      }),
      { numRuns: 10 },
    );
  });

  test('S5: when the cause ends, held calls continue at once, and the next burst is not delayed', async () => {
    const { clock, delay } = make();
    delay.release(settings); // no call is held, so this has no effect
    for (let i = 0; i < settings.burst; i++) await delay.pass(settings);
    const held = vi.fn();
    void delay.pass(settings).then(held);
    await clock.advance(1);
    expect(held).not.toHaveBeenCalled();
    delay.release(settings);
    await clock.advance(0);
    expect(held).toHaveBeenCalledOnce();
    expect(clock.sleeping).toBe(0);
    for (let i = 0; i < settings.burst; i++) await delay.pass(settings);
    void delay.pass(settings);
    await clock.advance(1);
    expect(delay.isHolding).toBe(true);
  });

  test('G5: a flood of calls costs two timers, not one each', async () => {
    const { clock, delay } = make();
    for (let i = 0; i < settings.burst; i++) await delay.pass(settings);
    const waiting = Array.from({ length: 10_000 }, () => delay.pass(settings));
    await clock.advance(0);
    expect(clock.sleeping).toBeLessThanOrEqual(2);
    await clock.advance(settings.capMs);
    await Promise.all(waiting);
    expect(clock.sleeping).toBe(0);
  });

  test('G1: concurrent requests wait for milliseconds while a loop waits for long', async () => {
    const { clock, delay } = make();
    // A loop that has run for minutes.
    let over = false;
    const loop = (async () => {
      while (!over) await delay.pass(settings);
    })();
    await clock.advance(5 * MINUTE_MS);
    // A service that asks once for each of many requests.
    let answered = 0;
    const requests = Array.from({ length: 100 }, () => delay.pass(settings).then(() => answered++));
    await clock.advance(250);
    expect(answered).toBe(100);
    over = true;
    await clock.advance(2 * settings.capMs);
    await Promise.all([...requests, loop]);
  });

  test('G6: it reports once that it trips, with the caller', async () => {
    const { clock, delay } = make();
    const tripped = vi.fn<GuardListener['tripped']>();
    const listener: GuardListener = { tripped, recovered: vi.fn<GuardListener['recovered']>() };
    let over = false;
    const loop = (async () => {
      while (!over) await delay.pass(settings, { listener, calledFrom: ['sync (service.ts:1:2)'] });
    })();
    await clock.advance(5 * MINUTE_MS);
    over = true;
    await clock.advance(settings.capMs);
    await loop;
    expect(tripped).toHaveBeenCalledOnce();
    expect(tripped.mock.calls[0]![0]).toMatchObject({
      origin: 'caller',
      calledFrom: 'sync (service.ts:1:2)',
    });
  });
});
