import { Etcd3 } from 'etcd3';
import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import {
  defaultGuardSettings,
  electionGuard,
  LoopGuard,
  loopGuards,
  type GuardListener,
} from '../../src/loop-guard/loop-guard.ts';
import { endpointsOf, keyOf, type ElectionScope } from '../../src/loop-guard/guard-key.ts';
import { shared } from '../../src/loop-guard/registry.ts';
import { FakeClock } from '../support/fake-clock.ts';

const settings = defaultGuardSettings;
const MINUTE_MS = 60_000;

const listener = () => ({
  tripped: vi.fn<GuardListener['tripped']>(),
  recovered: vi.fn<GuardListener['recovered']>(),
});

/**
 * The loop of the incident: ignores the result and repeats.
 * @returns when each round continued.
 */
async function hotLoop(
  guard: LoopGuard,
  clock: FakeClock,
  {
    forMs,
    origin = 'caller' as 'caller' | 'environment',
    ...options
  }: { forMs: number; origin?: 'caller' | 'environment' } & NonNullable<Parameters<LoopGuard['pass']>[2]>,
): Promise<number[]> {
  const zero = clock.now();
  const rounds: number[] = [];
  const stop = new AbortController();
  const signal = options.signal === undefined ? stop.signal : AbortSignal.any([stop.signal, options.signal]);
  const loop = (async () => {
    for (;;) {
      await guard.pass(origin, settings, { ...options, signal });
      if (signal.aborted) return;
      rounds.push(clock.now() - zero);
    }
  })();
  await clock.advance(forMs);
  stop.abort();
  await loop;
  return rounds;
}

describe('the loop guard', () => {
  test('G6: our own retries in an outage are held, but not reported as a loop', async () => {
    const clock = new FakeClock();
    const guard = new LoopGuard('k', 'e', clock);
    const heard = listener();
    const about = { forMs: 10 * MINUTE_MS, listener: heard };
    await hotLoop(guard, clock, { ...about, origin: 'environment', isRetry: true });
    expect(guard.status(settings).streak).toBeGreaterThan(settings.burst);
    expect(heard.tripped).not.toHaveBeenCalled();

    await hotLoop(guard, clock, { ...about, calledFrom: ['at mine'] });
    expect(heard.tripped).toHaveBeenCalledTimes(1);
    expect(heard.tripped.mock.calls[0]![0]).toMatchObject({ origin: 'caller', calledFrom: 'at mine' });
  });

  test('G1, G5: a hot loop makes a burst of rounds, then fewer and fewer, for ten minutes', async () => {
    const clock = new FakeClock();
    const rounds = await hotLoop(new LoopGuard('k', 'e', clock), clock, { forMs: 10 * MINUTE_MS });

    expect(rounds.filter((atMs) => atMs === 0)).toHaveLength(settings.burst);
    const gaps = rounds.slice(settings.burst).map((atMs, i) => atMs - rounds[settings.burst - 1 + i]!);
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(settings.baseMs);
    expect(Math.max(...gaps)).toBeLessThanOrEqual(settings.capMs);
    // At the cap a delay is 20 s on average, and at least 10 s.
    expect(rounds.length).toBeLessThanOrEqual(settings.burst + 10 + (10 * MINUTE_MS) / (settings.capMs / 3));
  });

  test('G5, L5: a round that fails because of the environment is repeated at most every 2.5 s', async () => {
    const clock = new FakeClock();
    const rounds = await hotLoop(new LoopGuard('k', 'e', clock), clock, {
      forMs: 10 * MINUTE_MS,
      origin: 'environment',
    });

    const gaps = rounds.slice(1).map((atMs, i) => atMs - rounds[i]!);
    expect(Math.max(...gaps)).toBeLessThanOrEqual(2_500);
    expect(Math.min(...gaps.slice(settings.burst))).toBeGreaterThanOrEqual(settings.baseMs);
  });

  test.each([
    ['given up', (stop: AbortController) => stop.abort()],
    ['woken', (_: AbortController, guard: LoopGuard) => guard.wake()],
  ])('L5: a turn that was %s does not delay the next one', async (_, endEarly) => {
    const clock = new FakeClock();
    const guard = new LoopGuard('k', 'e', clock);
    await hotLoop(guard, clock, { forMs: MINUTE_MS, origin: 'environment' });
    const stop = new AbortController();
    const held = guard.pass('environment', settings, { signal: stop.signal });
    await clock.advance(0);
    endEarly(stop, guard);
    await held;
    const next = guard.pass('environment', settings);
    expect(guard.status(settings).heldForMs).toBeGreaterThan(0);
    expect(guard.status(settings).heldForMs).toBeLessThanOrEqual(settings.outsideCapMs);
    await clock.advance(settings.outsideCapMs);
    await next;
  });

  test('G1: the delays have jitter, also at the cap: replicas do not return together', async () => {
    const last: number[] = [];
    for (let replica = 0; replica < 10; replica++) {
      const clock = new FakeClock();
      const rounds = await hotLoop(new LoopGuard('k', 'e', clock), clock, { forMs: 5 * MINUTE_MS });
      last.push(rounds.at(-1)! - rounds.at(-2)!);
    }
    expect(new Set(last.map((ms) => Math.round(ms))).size).toBeGreaterThan(7);
  });

  test("G1: the delays of cockatiel's backoff stay finite and within bounds for 5,000 rounds", async () => {
    // cockatiel below 3.1.3 returned NaN after 1,024 delays, and a timer with NaN is a 1 ms loop.
    const clock = new FakeClock();
    const guard = new LoopGuard('k', 'e', clock);
    for (let round = 0; round < 5_000; round++) {
      const before = clock.now();
      const passing = guard.pass('environment', settings);
      if (round >= settings.burst) {
        await clock.advance(settings.outsideCapMs);
        expect(guard.status(settings).heldForMs).toBe(0);
      }
      await passing;
      expect(clock.now() - before).toBeLessThanOrEqual(settings.outsideCapMs);
    }
    expect(guard.report().holds).toBeGreaterThan(0);
  });

  test('G1: it delays and never rejects, and an abort ends the delay at once', async () => {
    const clock = new FakeClock();
    const guard = new LoopGuard('k', 'e', clock);
    for (let round = 0; round < settings.burst; round++) await guard.pass('caller', settings);
    const stop = new AbortController();
    let passed = false;
    const passing = guard.pass('caller', settings, { signal: stop.signal }).then(() => (passed = true));
    await clock.advance(0);
    expect(passed).toBe(false);
    expect(guard.status(settings)).toMatchObject({ state: 'holding', streak: settings.burst + 1 });
    stop.abort();
    await passing;
    expect(clock.sleeping).toBe(0);
    expect(guard.status(settings)).toMatchObject({ state: 'tripped', heldForMs: 0 });
  });

  test('G6: it reports once that it trips, with the caller, and once that it has recovered', async () => {
    const clock = new FakeClock();
    const guard = new LoopGuard('k', 'e', clock);
    const heard = listener();
    await hotLoop(guard, clock, {
      forMs: 5 * MINUTE_MS,
      listener: heard,
      calledFrom: ['sync (service.ts:12:3)'],
    });

    expect(heard.tripped).toHaveBeenCalledOnce();
    expect(heard.tripped).toHaveBeenCalledWith({
      rounds: settings.burst + 1,
      holdMs: expect.closeTo(500, -3) as number,
      origin: 'caller',
      calledFrom: 'sync (service.ts:12:3)',
    });
    expect(heard.recovered).not.toHaveBeenCalled();

    guard.healthyFor(settings.healthyAfterMs - 1, settings, heard);
    expect(heard.recovered).not.toHaveBeenCalled();
    guard.healthyFor(settings.healthyAfterMs, settings, heard);
    guard.healthyFor(settings.healthyAfterMs, settings, heard);
    expect(heard.recovered).toHaveBeenCalledOnce();
    expect(guard.status(settings)).toMatchObject({ state: 'open', streak: 0 });
  });

  test('G6: it reports a recovery after a long pause', async () => {
    const clock = new FakeClock();
    const guard = new LoopGuard('k', 'e', clock);
    const heard = listener();
    await hotLoop(guard, clock, { forMs: MINUTE_MS, listener: heard });
    await clock.advance(20 * settings.healthyAfterMs);
    await guard.pass('caller', settings, { listener: heard });
    expect(heard.recovered).toHaveBeenCalledOnce();
    expect(guard.status(settings)).toMatchObject({ state: 'open', streak: 1 });
  });

  test('G6: it names the call sites with their counts and hold times', async () => {
    const clock = new FakeClock();
    const guard = new LoopGuard('k', 'e', clock);
    await guard.pass('caller', settings, { calledFrom: ['main (main.ts:1:1)'] });
    const rounds = await hotLoop(guard, clock, { forMs: MINUTE_MS, calledFrom: ['loop (loop.ts:2:2)'] });

    const report = guard.report();
    expect(report.callSites.map(({ stack }) => stack[0])).toEqual([
      'main (main.ts:1:1)',
      'loop (loop.ts:2:2)',
    ]);
    expect(report.callSites[1]!.rounds).toBeGreaterThanOrEqual(rounds.length);
    expect(report.heldMs).toBe(report.callSites[0]!.heldMs + report.callSites[1]!.heldMs);
  });

  test('G3: it remembers a bounded number of call sites', async () => {
    const guard = new LoopGuard('k', 'e', new FakeClock());
    const signal = AbortSignal.abort();
    for (let i = 0; i < 1_000; i++) await guard.pass('caller', settings, { calledFrom: [`f${i}`], signal });
    expect(guard.report().callSites.length).toBeLessThanOrEqual(16);
    expect(guard.report().rounds).toBe(1_000);
  });

  test('L5: a wake releases a round that the environment delays, and no other', async () => {
    const clock = new FakeClock();
    const [outside, own] = [new LoopGuard('a', 'e', clock), new LoopGuard('b', 'e', clock)];
    for (let round = 0; round < settings.burst; round++) {
      await outside.pass('environment', settings);
      await own.pass('caller', settings);
    }
    let passed = '';
    const waiting = [
      outside.pass('environment', settings).then(() => (passed += 'environment')),
      own.pass('caller', settings).then(() => (passed += ' caller')),
    ];
    outside.wake();
    own.wake();
    await clock.advance(0);
    expect(passed).toBe('environment');
    await clock.advance(settings.capMs);
    await Promise.all(waiting);
  });

  test('L5: a loop that is woken in every round is still held', async () => {
    const clock = new FakeClock();
    const guard = new LoopGuard('k', 'e', clock);
    for (let round = 0; round < 20; round++)
      await guard.pass('environment', settings, { signal: AbortSignal.abort() });
    guard.wake();
    let passed = false;
    const passing = guard.pass('environment', settings).then(() => (passed = true));
    await clock.advance(0);
    expect(passed).toBe(false);
    await clock.advance(2 * settings.outsideCapMs);
    await passing;
  });

  test('G1: no round is delayed for longer than twice the cap, and no timer remains', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({
            pauseMs: fc.integer({ min: 0, max: 20_000 }),
            origin: fc.constantFrom('caller' as const, 'environment' as const),
          }),
          {
            maxLength: 40,
          },
        ),
        async (rounds) => {
          const clock = new FakeClock();
          const guard = new LoopGuard('k', 'e', clock);
          const passing: Promise<void>[] = [];
          for (const { pauseMs, origin } of rounds) {
            await clock.advance(pauseMs);
            passing.push(guard.pass(origin, settings));
            expect(guard.status(settings).heldForMs).toBeLessThanOrEqual(2 * settings.capMs);
          }
          await clock.advance(2 * settings.capMs);
          await Promise.all(passing);
          expect(clock.sleeping).toBe(0);
        },
      ),
      { numRuns: 30 },
    );
  });
});

describe('G3: its state belongs to the process', () => {
  const scopeOf = (election: string, endpoints = ['host']): ElectionScope => ({
    endpoints,
    prefix: 'p/',
    election,
  });

  test('the same election and purpose share a guard, others have another', () => {
    const one = electionGuard(scopeOf('a'), 'campaign');
    expect(electionGuard(scopeOf('a'), 'campaign')).toBe(one);
    expect(electionGuard(scopeOf('b'), 'campaign')).not.toBe(one);
    expect(electionGuard(scopeOf('a'), 'reads')).not.toBe(one);
    expect(electionGuard({ ...scopeOf('a'), prefix: 'q/' }, 'campaign')).not.toBe(one);
    expect(loopGuards()).toContainEqual(expect.objectContaining({ election: 'a', purpose: 'reads' }));
  });

  test.each(['a|refusals', 'a","refusals', 'a/refusals', 'a\\', 'p/|a', '["host"]'])(
    'a name cannot imitate the key of another guard: %s',
    (name) => {
      const keys = (['campaign', 'refusals', 'reads'] as const).flatMap((purpose) => [
        keyOf(scopeOf('a'), purpose),
        keyOf(scopeOf(name), purpose),
        keyOf({ ...scopeOf('a'), prefix: `p/${name}` }, purpose),
      ]);
      expect(new Set(keys).size).toBe(keys.length);
    },
  );

  test('the order of the hosts makes no difference', async () => {
    const clients = [
      ['http://b:2', 'http://a:1'],
      ['http://a:1', 'http://b:2', 'http://a:1'],
    ].map((hosts) => new Etcd3({ hosts }));
    const [one, other] = clients.map(endpointsOf);
    expect(one).toEqual(other);
    for (const client of clients) client.close();
  });

  test('a second copy of the package finds it too', async () => {
    vi.resetModules();
    const copy = await import('../../src/loop-guard/loop-guard.ts');
    expect(copy.LoopGuard).not.toBe(LoopGuard);
    expect(copy.electionGuard(scopeOf('a'), 'campaign')).toBe(electionGuard(scopeOf('a'), 'campaign'));
  });

  test('the registry is bounded, and forgets the guard that was unused longest', () => {
    const kept = 16_384;
    const first = shared('bounded', 'first', () => ({}));
    for (let i = 0; i < kept - 1; i++) shared('bounded', `k${i}`, () => ({}));
    expect(shared('bounded', 'first', () => ({}))).toBe(first); // a use moves it to the end of the line
    shared('bounded', 'one more', () => ({}));
    expect(shared('bounded', 'first', () => ({}))).toBe(first);
    const made = vi.fn(() => ({}));
    shared('bounded', 'k0', made);
    expect(made).toHaveBeenCalledOnce();
  });
});

test('G6: a listener that got no event of the trip gets none of the recovery', async () => {
  const clock = new FakeClock();
  const guard = new LoopGuard('k', 'e', clock);
  const heard = listener();
  await hotLoop(guard, clock, { forMs: MINUTE_MS });
  guard.healthyFor(settings.healthyAfterMs, settings, heard);
  expect(heard.recovered).not.toHaveBeenCalled();
  await hotLoop(guard, clock, { forMs: MINUTE_MS, listener: heard });
  guard.healthyFor(settings.healthyAfterMs, settings, heard);
  expect(heard.tripped).toHaveBeenCalledOnce();
  expect(heard.recovered).toHaveBeenCalledOnce();
});
