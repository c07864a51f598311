import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  choices,
  emptyWorld,
  fingerprint,
  ours,
  queuedWorld,
  take,
  type Choice,
  type Fault,
  type Rules,
  type World,
} from './model.ts';

// The core is pure, so it can be put into a world in which everything that can happen does.

const FAULTS = ['pause', 'hold-up', 'hold-down', 'lose', 'crash', 'delete-waiting', 'step-down'] as const;
const PATIENCE_MS = 60_000;

interface Found {
  readonly worlds: number;
  /** What was broken, and the way there; undefined where nothing was. */
  readonly broken: string | undefined;
  readonly way: readonly Choice[];
}

/** Every interleaving up to a number of ticks; stops at the first world in which something is broken. */
function explore(start: World, rules: Rules, ticks: number, faults: readonly Fault[]): Found {
  const seen = new Set<string>([fingerprint(start)]);
  const stack: { world: World; way: readonly Choice[] }[] = [{ world: start, way: [] }];
  for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
    for (const choice of choices(at.world, faults)) {
      if (choice.to === 'tick' && at.world.tick >= ticks) continue;
      const world = take(at.world, choice, rules);
      const way = [...at.way, choice];
      if (world.broken !== '') return { worlds: seen.size, broken: world.broken, way };
      const print = fingerprint(world);
      if (seen.has(print)) continue;
      seen.add(print);
      stack.push({ world, way });
    }
  }
  return { worlds: seen.size, broken: undefined, way: [] };
}

const pairs = FAULTS.flatMap((one, index) => FAULTS.slice(index).map((other) => [one, other] as const));

describe('every interleaving of three candidates and two faults', () => {
  // Long enough for a lease to run out, and for the slow clock to have lost a tick.
  const TICKS = ours.ttlTicks + 1;

  test.each(pairs)('S1, S2, S3, S5 hold: %s and %s', { timeout: PATIENCE_MS }, (...faults) => {
    const { broken, way, worlds } = explore(queuedWorld(2, ours), ours, TICKS, faults);
    expect(broken, JSON.stringify(way)).toBeUndefined();
    expect(worlds).toBeGreaterThan(50);
  });
});

/** A long random way: each number chooses what happens next, and most choices are no faults. */
function wander(start: World, rules: Rules, numbers: readonly number[]): World {
  let world = start;
  for (const number of numbers) {
    const all = choices(world, FAULTS);
    const harmless = choices({ ...world, faultsLeft: 0 }, []);
    const from = number % 5 === 0 ? all : harmless;
    world = take(world, from[number % from.length]!, rules);
    if (world.broken !== '') break;
  }
  return world;
}

const longWay = fc.array(fc.nat(), { minLength: 200, maxLength: 600, size: 'max' });

describe('long random ways, from the start of all processes on', () => {
  test('S1, S2, S3, S5 hold', { timeout: PATIENCE_MS }, () => {
    let ledInAll = 0;
    fc.assert(
      fc.property(longWay, (numbers) => {
        const world = wander(emptyWorld(Number.MAX_SAFE_INTEGER, ours), ours, numbers);
        expect(world.broken).toBe('');
        ledInAll += world.ledBy > 0 ? 1 : 0;
      }),
      { numRuns: 300 },
    );
    expect(ledInAll).toBeGreaterThan(250); // or nothing would have been tried
  });
});

describe('that the model can find what is wrong', () => {
  // Found without being told where to look: the same exploration, with one rule broken.
  test.each([
    ['the margin gone', { marginMs: 0 }, ['hold-up'], 5],
    ['the deadline counted from the reply', { countFrom: 'reply', ttlTicks: 6 }, ['hold-down', 'hold-up'], 9],
    ['the own key not looked at', { looksAtOwnKey: false }, ['delete-waiting', 'step-down'], 4],
    ['the seat given up before the work has stopped', { releases: 'before it' }, ['step-down'], 2],
  ] satisfies [string, Partial<Rules>, Fault[], number][])(
    'with %s it finds two leaders',
    { timeout: PATIENCE_MS },
    (_, change, faults, ticks) => {
      const rules = { ...ours, ...change };
      const { broken } = explore(queuedWorld(2, rules), rules, ticks, faults);
      // Two at once, or one that leads without a key after its successor.
      expect(broken).toMatch(/^replicas \d and \d lead at tick|^token \d led after \d/);
      const kept = { ...ours, ttlTicks: rules.ttlTicks };
      expect(explore(queuedWorld(2, kept), kept, ticks, faults).broken).toBeUndefined();
    },
  );
});
