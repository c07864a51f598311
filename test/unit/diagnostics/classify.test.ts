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

/** What the worker sees at one check, half a second after the check before. */
interface Half {
  /** CPU time in this half second, in milliseconds. */
  readonly cpu: number;
  /** How long the thread waited for a CPU. */
  readonly waited?: number;
  /** The utilization of the event loop, if the thread answers. */
  readonly answers?: number;
  /** Turns and events since the last answer. */
  readonly turns?: number;
  readonly events?: number;
  /** How late the check is, in milliseconds. */
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
/** A service at full load: every turn is long and handles many events. */
const full = { cpu: 490, answers: 1, turns: 100, events: 2_000 };
const busy = { cpu: 300, answers: 0.6 };

describe('G7: the verdict', () => {
  it.each<[string, Half[], Finding['verdict'] | undefined]>([
    ['an idle thread', times(100, idle), undefined],
    ['a busy service whose loop has rest', times(100, busy), undefined],
    ['a loop that never turns', [idle, ...times(4, spin)], 'starved'],
    ['the same on a crowded core', [idle, ...times(6, { cpu: 200 })], 'starved'],
    ['the same under a quota of a tenth of a core', [idle, ...times(16, { cpu: 50 })], 'starved'],
    ['a loop that turns without rest', times(10, awaitLoop), 'hot'],
    ['a loop without rest for less than hotMs', times(6, awaitLoop), undefined],
    ['a service at full load', times(10, full), 'saturated'],
    [
      'a service with short turns and many events',
      times(10, { ...full, turns: 1_500, events: 6_000 }),
      'saturated',
    ],
    ['a batch that yields every millisecond', times(10, { ...full, turns: 500, events: 0 }), 'saturated'],
    ['a loop with long turns', times(10, { ...awaitLoop, turns: 100, events: 100 }), 'saturated'],
    ['95 % busy with short turns', times(10, { ...awaitLoop, answers: 0.95 }), 'saturated'],
    ['setImmediate without end', times(10, { cpu: 490, answers: 1, turns: 60_000, events: 0 }), 'hot'],
    ['a loop under a Node that does not count turns', times(10, { cpu: 490, answers: 1 }), 'saturated'],
    ['one long block that has ended', [idle, spin, { ...full, late: 12_000 }, ...times(4, idle)], undefined],
    [
      'a loop that rests every second half second',
      times(20, awaitLoop).flatMap((half) => [half, busy]),
      undefined,
    ],
    [
      'a loop that rests a quarter of the time',
      times(10, awaitLoop).flatMap((half) => [half, half, half, busy]),
      undefined,
    ],
    [
      'a loop that sometimes gets no CPU',
      times(3, awaitLoop).flatMap((half) => [...times(7, half), { cpu: 20 }]),
      'hot',
    ],
    [
      'a loop that gets an eighth of a crowded core',
      times(10, { cpu: 60, waited: 400, answers: 1, turns: 1_200, events: 1_200 }),
      'hot',
    ],
    ['a busy service on a crowded core', times(20, { cpu: 100, waited: 400, answers: 0.8 }), undefined],
    ['a block of a quarter of a second on a crowded core', times(5, { cpu: 50, waited: 450 }), undefined],
    [
      'a block of almost half a second, which takes 2.5 s on a crowded core',
      [idle, ...times(4, { cpu: 120, waited: 380 }), { cpu: 120, waited: 380, answers: 1 }, idle],
      undefined,
    ],
    ['a block shorter than stallMs', [spin, { ...spin, answers: 1 }, idle], undefined],
    ['a debugger pause: no answer, no CPU', [busy, ...times(20, idle)], undefined],
    ['execFileSync in a busy turn', [{ cpu: 400 }, ...times(20, idle)], undefined],
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

  it('does not count a long block as a time without rest', () => {
    // 12 s without an answer, all of it CPU time; then the loop turns and rests.
    const block = [idle, ...times(24, spin), { ...spin, answers: 1, turns: 3, events: 3 }];
    const after = findings([...block, ...times(2, full), ...times(10, idle)]);
    expect(after.filter(({ verdict }) => verdict !== 'starved')).toEqual([]);
  });

  it('comes within two checks plus stallMs', () => {
    const [first] = findings([idle, ...times(10, spin)]);
    expect(first?.at).toBeLessThanOrEqual(POLL + POLL + thresholds.stallMs);
    expect(first).toMatchObject({ verdict: 'starved', forMs: 1_000, cpu: 1 });
  });

  it('comes within 2 s for a loop that gets a third of a core', () => {
    const [first] = findings([idle, ...times(10, { cpu: 167, waited: 333 })]);
    expect(first?.at).toBeLessThanOrEqual(POLL + 2_000);
  });

  it('is a runaway only after 80 % of runawayMs of CPU time', () => {
    const sort = findings([idle, ...times(14, { cpu: 250, waited: 250 })]);
    expect(sort.at(-1)?.forMs).toBeGreaterThan(5_000);
    expect(sort.some((finding) => hasRunAway(finding, 5_000))).toBe(false);
    const loop = findings([idle, ...times(12, spin)]);
    expect(loop.find((finding) => hasRunAway(finding, 5_000))?.forMs).toBe(5_000);
  });

  it('is starved only after half of stallMs of CPU time', () => {
    const share = { cpu: 100, waited: 400 };
    const block = [idle, ...times(4, share), { ...share, answers: 1 }, ...times(5, idle)];
    const loop = [idle, ...times(10, share)];
    expect(findings(block)).toEqual([]);
    // Until the block ends, the block and the loop look the same.
    expect(findings(loop)[0]?.at).toBe(POLL * 7);
  });
});

describe('for any input', () => {
  const half = fc.record(
    {
      cpu: fc.integer({ min: 0, max: 500 }),
      answers: fc.double({ min: 0, max: 1, noNaN: true }),
      late: fc.nat(20_000),
    },
    { requiredKeys: ['cpu'] },
  );

  it('a thread that answers every question and rests gets no verdict', () => {
    const rested = half.map(({ cpu, late }) => ({ cpu, answers: 0.89, ...(late !== undefined && { late }) }));
    fc.assert(
      fc.property(fc.array(rested), (story) => {
        expect(findings(story)).toEqual([]);
      }),
    );
  });

  it('a thread that uses almost no CPU gets no verdict, even if checks are late', () => {
    const cool = half.map((each) => ({ ...each, cpu: each.cpu % 4 }));
    fc.assert(
      fc.property(fc.array(cool), (story) => {
        expect(findings(story)).toEqual([]);
      }),
    );
  });

  it('a starved thread used at least half of stallMs of CPU while it did not answer', () => {
    fc.assert(
      fc.property(fc.array(half), (story) => {
        for (const { verdict, forMs, cpu } of findings(story)) {
          if (verdict === 'starved')
            expect(forMs * cpu).toBeGreaterThanOrEqual(thresholds.stallMs / 2 - 1e-6);
        }
      }),
    );
  });

  it('a thread that never answers and uses a whole core is always starved', () => {
    fc.assert(
      fc.property(fc.array(half), (story) => {
        expect(findings([...story, ...times(5, spin)]).length).toBeGreaterThan(0);
      }),
    );
  });
});

it('an idle thread is not asked', () => {
  const sight: Sight = { type: 'look', at: 500, cpu: { burntMs: 20, wantedMs: 40 }, lateMs: 0 };
  expect(watch(beginWatch(0, { burntMs: 0, wantedMs: 0 }), sight, thresholds).ask).toBe(false);
});
