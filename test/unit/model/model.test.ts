import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { choices, emptyWorld, queuedWorld, take, type Choice } from './model.ts';
import { fingerprint, ours, type Fault, type Rules, type World } from './world.ts';

// The core is pure, so the model can run it in a world in which everything possible happens.

const FAULTS = ['pause', 'hold-up', 'hold-down', 'lose', 'crash', 'delete-waiting', 'step-down'] as const;
const PATIENCE_MS = 60_000;

interface Found {
  readonly worlds: number;
  /** Worlds with a leader that did not lead at the start. */
  readonly handOvers: number;
  /** The violation and the path to it; undefined without one. */
  readonly broken: string | undefined;
  readonly way: readonly Choice[];
}

interface Scope {
  readonly ticks: number;
  readonly faults: readonly Fault[];
  readonly calls: 'in every order' | 'in one order';
}

/** Explores every path up to a number of ticks; stops at the first world with a violation. */
function explore(start: World, rules: Rules, { ticks, faults, calls }: Scope): Found {
  const seen = new Set<string>([fingerprint(start)]);
  const stack: { world: World; way: readonly Choice[] }[] = [{ world: start, way: [] }];
  let handOvers = 0;
  for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
    for (const choice of choices(at.world, faults, calls)) {
      if (choice.to === 'tick' && at.world.tick >= ticks) continue;
      const world = take(at.world, choice, rules);
      const way = [...at.way, choice];
      if (world.broken !== '') return { worlds: seen.size, handOvers, broken: world.broken, way };
      const print = fingerprint(world);
      if (seen.has(print)) continue;
      seen.add(print);
      if (world.ledBy > start.ledBy) handOvers++;
      stack.push({ world, way });
    }
  }
  return { worlds: seen.size, handOvers, broken: undefined, way: [] };
}

// Long enough for a lease to expire, and for the slow clock to lose a tick.
const TICKS = ours.ttlTicks + 1;
/** Faults after which another replica leads within that time. */
const ENDS_A_TERM: ReadonlySet<Fault> = new Set(['pause', 'hold-up', 'crash', 'step-down']);

function expectKept(faults: readonly Fault[], calls: Scope['calls']): void {
  const { broken, way, handOvers } = explore(queuedWorld(faults.length, ours), ours, {
    ticks: TICKS,
    faults,
    calls,
  });
  expect(broken, JSON.stringify(way)).toBeUndefined();
  expect(handOvers > 0).toBe(faults.some((fault) => ENDS_A_TERM.has(fault)));
}

describe('three candidates and one fault: every order of all events', () => {
  test.each(FAULTS)('S1, S2, S3, S5 hold: %s', { timeout: PATIENCE_MS }, (fault) => {
    expectKept([fault], 'in every order');
  });
});

const pairs = FAULTS.flatMap((one, index) => FAULTS.slice(index).map((other) => [one, other] as const));

describe('three candidates and two faults: every order of all events except calls and answers', () => {
  test.each(pairs)('S1, S2, S3, S5 hold: %s and %s', { timeout: PATIENCE_MS }, (...faults) => {
    expectKept(faults, 'in one order');
  });
});

/** A long random path: each number selects the next event, and most are not faults. */
function wander(start: World, rules: Rules, numbers: readonly number[]): World {
  let world = start;
  for (const number of numbers) {
    const all = choices(world, FAULTS, 'in every order');
    const harmless = choices({ ...world, faultsLeft: 0 }, [], 'in every order');
    const from = number % 5 === 0 ? all : harmless;
    world = take(world, from[number % from.length]!, rules);
    if (world.broken !== '') break;
  }
  return world;
}

const longWay = fc.array(fc.nat(), { minLength: 200, maxLength: 600, size: 'max' });

describe('long random runs from the start of all processes', () => {
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
    expect(ledInAll).toBeGreaterThan(250); // otherwise nothing was tested
  });
});

describe('the model finds broken rules', () => {
  const FINER_TICKS = 6;
  // The same two explorations with one rule broken.
  test.each([
    ['no margin', { marginMs: 0 }],
    ['the deadline counted from the reply', { countFrom: 'reply', ttlTicks: FINER_TICKS }],
    ['no check of the own key', { looksAtOwnKey: false }],
    ['the key deleted before the work has stopped', { releases: 'before it' }],
    ['a released key used again', { takesSpentKeys: true }],
  ] satisfies [string, Partial<Rules>][])(
    'with %s it finds a forbidden leader',
    { timeout: PATIENCE_MS },
    (_, change) => {
      const rules = { ...ours, ...change };
      const among = { ticks: rules.ttlTicks + 3, faults: FAULTS };
      const one = explore(queuedWorld(1, rules), rules, { ...among, calls: 'in every order' });
      const { broken } =
        one.broken === undefined
          ? explore(queuedWorld(2, rules), rules, { ...among, calls: 'in one order' })
          : one;
      // Two leaders at once, or one that leads without a key after its successor.
      expect(broken).toMatch(/^replicas \d and \d lead at tick|^token \d led after \d/);
    },
  );

  test(
    'S2: with equally fine time steps and no broken rule, it finds nothing',
    { timeout: PATIENCE_MS },
    () => {
      const rules = { ...ours, ttlTicks: FINER_TICKS };
      const among = {
        ticks: FINER_TICKS + 3,
        faults: ['hold-down', 'hold-up'],
        calls: 'in one order',
      } as const;
      expect(explore(queuedWorld(2, rules), rules, among).broken).toBeUndefined();
    },
  );
});
