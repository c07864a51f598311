import { afterEach, expect, test, vi } from 'vitest';
import { recentStall, watchEventLoop } from '../../src/util/event-loop-stall.ts';

/** An event loop that turns as the test says. */
const loop = vi.hoisted(() => ({
  nowMs: 0,
  timers: [] as { readonly atMs: number; readonly run: () => void }[],
  immediates: [] as (() => void)[],
}));
vi.mock('../../src/util/clock.ts', () => ({
  clock: { now: () => loop.nowMs },
  after: (ms: number, run: () => void) => {
    const timer = { atMs: loop.nowMs + ms, run };
    loop.timers.push(timer);
    return () => void (loop.timers = loop.timers.filter((other) => other !== timer));
  },
  nextTurn: (run: () => void) => void loop.immediates.push(run),
}));

function fireTimers(): void {
  const due = loop.timers.filter(({ atMs }) => atMs <= loop.nowMs);
  loop.timers = loop.timers.filter(({ atMs }) => atMs > loop.nowMs);
  for (const { run } of due) run();
}

/** Turns for this long. Every turn takes `turnMs`, in the phase of the loop that is named. */
function turn(turnMs: number, forMs: number, busyIn: 'timers' | 'immediates' = 'immediates'): void {
  const endMs = loop.nowMs + forMs;
  while (loop.nowMs < endMs) {
    if (busyIn === 'timers') loop.nowMs += turnMs;
    fireTimers();
    if (busyIn === 'immediates') loop.nowMs += turnMs;
    for (const run of loop.immediates.splice(0)) run();
  }
}

let stop: () => void;
const watch = (): void => void (stop = watchEventLoop());
afterEach(() => {
  stop();
  loop.nowMs += 1e6;
});

test('one long stall is told', () => {
  watch();
  turn(1, 2_000);
  turn(4_000, 4_000);
  turn(1, 500);
  const { stalledMs } = recentStall(10_000)!;
  expect(stalledMs).toBeGreaterThan(3_400);
  expect(stalledMs).toBeLessThanOrEqual(4_000);
  turn(1, 10_000);
  expect(recentStall(10_000)).toBeUndefined();
});

test.for([
  [600, 'immediates'],
  [600, 'timers'],
  [500, 'immediates'],
  [900, 'timers'],
  [350, 'immediates'],
] as const)('an event loop that is busy in chunks of %i ms is told, in its %s', ([chunkMs, busyIn]) => {
  watch();
  turn(1, 2_000);
  turn(chunkMs, 6_000, busyIn);
  const { stalledMs } = recentStall(3_000)!;
  expect(stalledMs).toBeGreaterThan(1_500);
  expect(stalledMs).toBeLessThanOrEqual(4_000);
});

test('short turns are not told, however busy the event loop is', () => {
  watch();
  turn(20, 20_000);
  expect(recentStall(10_000)).toBeUndefined();
});

test.for([110, 150])(
  'turns of %i ms are not told for a TTL of 10 s, because a renewal needs only a few',
  (ms) => {
    watch();
    turn(ms, 20_000);
    expect(recentStall(10_000)).toBeUndefined();
  },
);

test('a single stall of a second is told for any TTL', () => {
  watch();
  turn(1, 2_000);
  turn(1_700, 1_700);
  turn(1, 2_000);
  expect(recentStall(60_000)).toMatchObject({ stalledMs: expect.closeTo(1_700, -3) as number });
});

test('a few short stalls are not told', () => {
  watch();
  for (let times = 0; times < 5; times++) {
    turn(1, 2_400);
    turn(600, 600);
  }
  expect(recentStall(15_000)).toBeUndefined();
});
