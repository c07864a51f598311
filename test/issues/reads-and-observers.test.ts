import type { Election, Observed } from 'etcd-election';
import { resetLoopGuards } from 'etcd-election/dev';
import { beforeEach, describe, expect } from 'vitest';
import { startRefusingRelay } from '../../bench/guard/refusing-relay.ts';
import { holdsDuring, watch, WATCH_MS } from '../support/hot-loop.ts';
import { test } from '../support/world.ts';

// Reads and observers with a new name each turn made 900 to 1,900 calls a second at etcd. Observers of one election
// were held from the twenty-first on.

/** For successive ones: this many go at once, then at most one per 50 ms. */
const BURST = 300;

beforeEach(resetLoopGuards);

const breakOff = async (one: Election): Promise<void> => {
  for await (const _ of one.observe()) break;
};

describe('a loop with a new name each turn', () => {
  const calls: Record<string, (one: Election) => Promise<unknown>> = {
    'leader()': (one) => one.leader(),
    'candidates()': (one) => one.candidates(),
    'observe(), broken off': breakOff,
  };

  test.for(Object.entries(calls))(
    'G1, G3: %s has one budget for all clients of an etcd',
    async ([, call], { election, client }) => {
      const shared = client();
      const begunAtMs = performance.now();
      let turn = 0;
      let last: Promise<unknown> | undefined;
      const seen = await watch(
        () => (last = call(election(shared, `x${turn++}`)).catch(() => undefined)),
        3 * WATCH_MS,
        BURST / 2, // fewer would be held by nothing
      );
      expect(seen.rounds).toBeGreaterThanOrEqual(BURST / 2);
      expect(seen.rounds).toBeLessThanOrEqual(BURST + seen.tookMs / 50);
      await last; // while it is running, the next loop would not be alone
      // The loop may use another client each turn.
      const others = await watch(() => call(election(client(), `x${turn++}`)), WATCH_MS);
      expect(seen.rounds + others.rounds).toBeLessThanOrEqual(BURST + (performance.now() - begunAtMs) / 50);
    },
  );
});

test('a dashboard reads 500 elections at once, and is not held', async ({ election, client }) => {
  const shared = client();
  const shown = Array.from({ length: 500 }, (_, i) => election(shared, `shown-${i}`));
  expect(await holdsDuring(() => Promise.all(shown.map((one) => one.leader())))).toEqual([]);
});

/** A viewer that has seen the leader. */
async function view(one: Election): Promise<AsyncGenerator<Observed, void, void>> {
  const leaders = one.observe();
  const first = await leaders.next();
  expect(first).toMatchObject({ done: false, value: { value: 'alice' } });
  return leaders;
}

test('many observers of one election share one watch, start at once, and get each change once', async ({
  candidate,
  client,
  election,
  etcd,
  log,
}) => {
  await candidate('alice').campaign();
  await using relay = await startRefusingRelay(etcd.endpoints[0]!);
  const shared = client({ hosts: relay.endpoint });
  const ttlSeconds = 300; // an observer reads again after a third of it: not within this test

  const all: AsyncGenerator<Observed, void, void>[] = [];
  const held = await holdsDuring(async () => {
    all.push(
      ...(await Promise.all(Array.from({ length: 60 }, () => view(election(shared, 'e', { ttlSeconds }))))),
    );
    for (let i = 0; i < 60; i++) all.push(await view(election(shared, 'e', { ttlSeconds })));
  });
  expect(held).toEqual([]);
  expect(relay.calls).toBeLessThanOrEqual(4); // a read, a watch, and the confirmation of the watch
  expect(log.of('observers.many')).toHaveLength(1);

  // Each one can end alone, and the others continue.
  await all.pop()!.return();
  await Promise.all(all.map((one) => one.return()));
});

test('G1: a loop that leaves its iterations open lets the event loop turn', async ({ election, client }) => {
  const one = election(client(), 'e');
  await one.campaign('a');
  let turns = 0;
  const timer = setInterval(() => turns++, 1);
  const iterations: ReturnType<typeof one.observe>[] = [];
  while (iterations.length < 1_100) {
    const iteration = one.observe();
    iterations.push(iteration);
    expect(await iteration.next()).toMatchObject({ value: { value: 'a' } });
  }
  clearInterval(timer);
  expect(turns).toBeGreaterThan(100);
  await Promise.all(iterations.map((iteration) => iteration.return()));
});
