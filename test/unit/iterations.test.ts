import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Iterations } from '../../src/loop-guard/iterations.ts';
import { LoopGuard } from '../../src/loop-guard/loop-guard.ts';
import { FakeClock } from '../support/fake-clock.ts';

const SECOND_MS = 1_000;
const HOUR_MS = 3_600_000;
const BURST = 20;

interface World {
  readonly clock: FakeClock;
  /** @returns a function to call when the iteration ends; undefined if it was refused. */
  readonly begin: () => Promise<(() => void) | undefined>;
}

/** The sleep of 1 ms while many are open ends at once, because ten thousand fake timers are slow. */
class QuickClock extends FakeClock {
  override sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return ms <= 1 ? Promise.resolve() : super.sleep(ms, signal);
  }
}

const world = (clock = new FakeClock()): World => {
  const iterations = new Iterations(new LoopGuard('k', 'e', clock), clock);
  return { clock, begin: () => iterations.begin({}, false, () => undefined) };
};

/** Viewers that connect at once and all end after a while. @returns how many did not begin within 1 ms. */
async function flap({ clock, begin }: World, viewers: number, lastMs: number): Promise<number> {
  const ends: (() => void)[] = [];
  for (let i = 0; i < viewers; i++) void begin().then((end) => end && ends.push(end));
  await clock.advance(1);
  const notBegun = viewers - ends.length;
  await clock.advance(lastMs);
  for (const end of ends) end();
  return notBegun;
}

describe('viewers in parallel', () => {
  test('are not delayed after all of them ended within a second, an hour or a moment ago', async () => {
    for (const quietMs of [HOUR_MS, 10 * SECOND_MS, 100, 0]) {
      const viewers = world(new QuickClock());
      expect(await flap(viewers, 1_000, 900)).toBe(0);
      await viewers.clock.advance(quietMs);
      expect(await flap(viewers, 1_000, HOUR_MS)).toBe(0);
    }
  });

  test('ten thousand may flap once, and ten waves of a thousand are not delayed', async () => {
    const once = world(new QuickClock());
    expect(await flap(once, 10_000, 500)).toBe(0);
    expect(await flap(once, 10_000, HOUR_MS)).toBe(0);
    const often = world(new QuickClock());
    for (let wave = 0; wave < 10; wave++) expect(await flap(often, 1_000, 500)).toBe(0);
  });

  test('G1: more than ten thousand short ones are delayed, until time has forgiven them', async () => {
    const viewers = world(new QuickClock());
    await flap(viewers, 10_000, 500);
    await flap(viewers, 10_000, 500);
    expect(await flap(viewers, 1_000, 500)).toBeGreaterThan(800);
    await viewers.clock.advance(HOUR_MS);
    expect(await flap(viewers, 1_000, 500)).toBe(0);
  });
});

/** Loops that begin the next iteration when the last one has ended. @returns when each iteration began. */
async function loops(
  { clock, begin }: World,
  tookMs: readonly number[],
  forMs: number,
): Promise<readonly (readonly number[])[]> {
  const zero = clock.now();
  let isOver = false;
  const begun: number[][] = tookMs.map(() => []);
  const running = tookMs.map(async (ms, loop) => {
    while (!isOver) {
      const end = await begin();
      if (isOver) return end?.();
      begun[loop]!.push(clock.now() - zero);
      await clock.sleep(ms);
      end!();
    }
  });
  await clock.advance(forMs);
  isOver = true;
  await clock.advance(60 * SECOND_MS);
  await Promise.all(running);
  return begun;
}

describe('a loop over short iterations', () => {
  /** Delays grow from 250 ms to between a third of 8 s and 8 s. */
  const most = (forMs: number): number => BURST + 8 + forMs / (8_000 / 3);

  test('G1: gets 20, and then one in a few seconds', async () => {
    const [begun] = await loops(world(), [1], 10 * 60_000);
    expect(begun!.length).toBeGreaterThan(BURST + 600_000 / 8_000);
    expect(begun!.length).toBeLessThanOrEqual(most(10 * 60_000));
  });

  test('G1: is no faster beside viewers that stay', async () => {
    const viewers = world();
    for (let i = 0; i < 10; i++) await viewers.begin();
    const [begun] = await loops(viewers, [1], 10 * 60_000);
    expect(begun!.length).toBeLessThanOrEqual(most(10 * 60_000));
  });

  test('G1: is no faster beside other loops, once they have used up the burst', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 900 }), { minLength: 2, maxLength: 60 }),
        async (tookMs) => {
          const forMs = 10 * 60_000;
          const all = await loops(world(), tookMs, forMs);
          for (const begun of all) {
            const later = begun.filter((atMs) => atMs > forMs / 2).length;
            expect(later).toBeLessThanOrEqual(2 * most(forMs / 2));
          }
        },
      ),
      { numRuns: 15 },
    );
  });

  test('G1: cannot avoid the guard by opening the next iteration before it ends the last one', async () => {
    const { clock, begin } = world();
    let isOver = false;
    let count = 0;
    const loop = (async () => {
      let last: (() => void) | undefined;
      while (!isOver) {
        const end = await begin();
        last?.();
        last = end;
        count++;
        await clock.sleep(1);
      }
    })();
    await clock.advance(10 * 60_000);
    isOver = true;
    await clock.advance(60 * SECOND_MS);
    await loop;
    expect(count).toBeLessThanOrEqual(2 * most(10 * 60_000));
  });
});
