import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Finding,
  type Sight,
  type Watch,
  beginWatch,
  hasRunAway,
  watch,
} from '../../../src/diagnostics/watchdog/classify.ts';

const thresholds = { stallMs: 1_000, hotMs: 3_000, hotUtilization: 0.9 };
const POLL = 500;

/** One look after another, half a second apart: what the main thread burnt and what it answered. */
interface Half {
  /** CPU in this half second, in milliseconds. */
  readonly cpu: number;
  /** How long it wanted the CPU and was not let. */
  readonly waited?: number;
  /** How busy its event loop was, if it answers the question that is open. */
  readonly answers?: number;
  /** Turns and events since the last answer. */
  readonly turns?: number;
  readonly events?: number;
  /** How much later than due the watcher itself came to look. */
  readonly late?: number;
}

function findings(story: readonly Half[]): (Finding & { at: number })[] {
  let state: Watch = beginWatch(0, { burntMs: 0, wantedMs: 0 });
  let [at, burntMs, wantedMs] = [0, 0, 0];
  const found: (Finding & { at: number })[] = [];
  for (const { cpu, waited = 0, answers, turns, events, late = 0 } of story) {
    at += POLL + late;
    burntMs += cpu;
    wantedMs += cpu + waited;
    const seen = watch(state, { type: 'look', at, cpu: { burntMs, wantedMs }, lateMs: late }, thresholds);
    state = seen.watch;
    if (seen.finding) found.push({ ...seen.finding, at });
    if (state.asked !== undefined && answers !== undefined) {
      const turning = { utilization: answers, turns, events };
      state = watch(state, { type: 'answer', at: at + 1, ...turning }, thresholds).watch;
    }
  }
  return found;
}

const times = (count: number, half: Half): Half[] => Array<Half>(count).fill(half);
const idle = { cpu: 0 };
const spin = { cpu: 500 };
const awaitLoop = { cpu: 490, answers: 1, turns: 10_000, events: 10_000 };
/** A service at full load: many events wait in each turn, and each turn is long. */
const full = { cpu: 490, answers: 1, turns: 100, events: 2_000 };
const busy = { cpu: 300, answers: 0.6 };

describe('G7: what runs away', () => {
  it.each<[string, Half[], Finding['verdict'] | undefined]>([
    ['nothing to do', times(100, idle), undefined],
    ['a busy service whose loop has rest', times(100, busy), undefined],
    ['a loop that never turns', [idle, ...times(4, spin)], 'starved'],
    ['the same on a crowded core', [idle, ...times(6, { cpu: 200 })], 'starved'],
    ['the same under a quota of a tenth of a core', [idle, ...times(16, { cpu: 50 })], 'starved'],
    ['a loop that turns without rest', times(10, awaitLoop), 'hot'],
    ['one that was without rest for less than hotMs', times(6, awaitLoop), undefined],
    ['a service at full load', times(10, full), 'saturated'],
    [
      'one with short turns and many events',
      times(10, { ...full, turns: 1_500, events: 6_000 }),
      'saturated',
    ],
    ['a batch that gives way each millisecond', times(10, { ...full, turns: 500, events: 0 }), 'saturated'],
    ['a loop with long turns', times(10, { ...awaitLoop, turns: 100, events: 100 }), 'saturated'],
    ['95 % busy with short turns', times(10, { ...awaitLoop, answers: 0.95 }), 'saturated'],
    ['setImmediate without end', times(10, { cpu: 490, answers: 1, turns: 60_000, events: 0 }), 'hot'],
    ['where Node does not count turns', times(10, { cpu: 490, answers: 1 }), 'saturated'],
    [
      'one long block that is over is no loop, however long',
      [idle, spin, { ...full, late: 12_000 }, ...times(4, idle)],
      undefined,
    ],
    [
      'one that rests each second half second',
      times(20, awaitLoop).flatMap((half) => [half, busy]),
      undefined,
    ],
    [
      'one that rests a quarter of the time',
      times(10, awaitLoop).flatMap((half) => [half, half, half, busy]),
      undefined,
    ],
    [
      'one that was not let run once in a while',
      times(3, awaitLoop).flatMap((half) => [...times(7, half), { cpu: 20 }]),
      'hot',
    ],
    [
      'one that gets an eighth of a crowded core',
      times(10, { cpu: 60, waited: 400, answers: 1, turns: 1_200, events: 1_200 }),
      'hot',
    ],
    ['a busy service on a crowded core', times(20, { cpu: 100, waited: 400, answers: 0.8 }), undefined],
    ['a block of a quarter of a second on a crowded core', times(5, { cpu: 50, waited: 450 }), undefined],
    [
      'a block of not quite half a second, which takes two and a half on a crowded core',
      [idle, ...times(4, { cpu: 120, waited: 380 }), { cpu: 120, waited: 380, answers: 1 }, idle],
      undefined,
    ],
    ['a block shorter than stallMs', [spin, { ...spin, answers: 1 }, idle], undefined],
    ['a debugger pause: no answer, no CPU', [busy, ...times(20, idle)], undefined],
    ['execFileSync out of a busy turn', [{ cpu: 400 }, ...times(20, idle)], undefined],
    [
      'SIGSTOP for ten seconds in a busy turn',
      [{ cpu: 400 }, { cpu: 100, late: 10_000 }, busy, idle],
      undefined,
    ],
    ['many short stops in a busy turn', [{ cpu: 400 }, ...times(10, { cpu: 20, late: 600 })], undefined],
    ['a disk that blocks every turn: no rest, little CPU', times(20, { cpu: 60, answers: 1 }), undefined],
  ])('%s', (_name, story, verdict) => {
    expect(findings(story)[0]?.verdict).toBe(verdict);
  });

  it('does not count a long block as a stretch without rest', () => {
    // 12 s without an answer, each half second of it burnt; then the loop turns and rests.
    const block = [idle, ...times(24, spin), { ...spin, answers: 1, turns: 3, events: 3 }];
    const after = findings([...block, ...times(2, full), ...times(10, idle)]);
    expect(after.filter(({ verdict }) => verdict !== 'starved')).toEqual([]);
  });

  it('is noticed within two looks and the stall', () => {
    const [first] = findings([idle, ...times(10, spin)]);
    expect(first?.at).toBeLessThanOrEqual(POLL + POLL + thresholds.stallMs);
    expect(first).toMatchObject({ verdict: 'starved', forMs: 1_000, cpu: 1 });
  });

  it('is noticed within 2 s where it is let have a third of a core', () => {
    const [first] = findings([idle, ...times(10, { cpu: 167, waited: 333 })]);
    expect(first?.at).toBeLessThanOrEqual(POLL + 2_000);
  });

  it('is a runaway only when it has burnt most of runawayMs, however long that takes', () => {
    const sort = findings([idle, ...times(14, { cpu: 250, waited: 250 })]);
    expect(sort.at(-1)?.forMs).toBeGreaterThan(5_000);
    expect(sort.some((finding) => hasRunAway(finding, 5_000))).toBe(false);
    const loop = findings([idle, ...times(12, spin)]);
    expect(loop.find((finding) => hasRunAway(finding, 5_000))?.forMs).toBe(5_000);
  });

  it('is told from a block by nothing but what it burns: half of stallMs, however long that takes', () => {
    const share = { cpu: 100, waited: 400 };
    const block = [idle, ...times(4, share), { ...share, answers: 1 }, ...times(5, idle)];
    const loop = [idle, ...times(10, share)];
    expect(findings(block)).toEqual([]);
    // Up to where the block ends they look the same: whoever blames the loop sooner blames the block too.
    expect(findings(loop)[0]?.at).toBe(POLL * 7);
  });
});

describe('whatever happens', () => {
  const half = fc.record(
    {
      cpu: fc.integer({ min: 0, max: 500 }),
      answers: fc.double({ min: 0, max: 1, noNaN: true }),
      late: fc.nat(20_000),
    },
    { requiredKeys: ['cpu'] },
  );

  it('nothing that answers each question and has rest is found', () => {
    const rested = half.map(({ cpu, late }) => ({ cpu, answers: 0.89, ...(late !== undefined && { late }) }));
    fc.assert(
      fc.property(fc.array(rested), (story) => {
        expect(findings(story)).toEqual([]);
      }),
    );
  });

  it('nothing that burns next to nothing is found, however late anybody is', () => {
    const cool = half.map((each) => ({ ...each, cpu: each.cpu % 4 }));
    fc.assert(
      fc.property(fc.array(cool), (story) => {
        expect(findings(story)).toEqual([]);
      }),
    );
  });

  it('a starved one burnt at least half of stallMs while it was not heard of', () => {
    fc.assert(
      fc.property(fc.array(half), (story) => {
        for (const { verdict, forMs, cpu } of findings(story)) {
          if (verdict === 'starved')
            expect(forMs * cpu).toBeGreaterThanOrEqual(thresholds.stallMs / 2 - 1e-6);
        }
      }),
    );
  });

  it('what never answers and burns all of a core is always found', () => {
    fc.assert(
      fc.property(fc.array(half), (story) => {
        expect(findings([...story, ...times(5, spin)]).length).toBeGreaterThan(0);
      }),
    );
  });
});

it('asks an idle thread nothing', () => {
  const sight: Sight = { type: 'look', at: 500, cpu: { burntMs: 20, wantedMs: 40 }, lateMs: 0 };
  expect(watch(beginWatch(0, { burntMs: 0, wantedMs: 0 }), sight, thresholds).ask).toBe(false);
});
