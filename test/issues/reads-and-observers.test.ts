import type { Election, Observed } from 'etcd-election';
import { resetLoopGuards } from 'etcd-election/dev';
import { beforeEach, describe, expect } from 'vitest';
import { startRefusingRelay } from '../../bench/guard/refusing-relay.ts';
import { watch, WATCH_MS } from '../support/hot-loop.ts';
import { SOON_MS, test } from '../support/world.ts';

// Reads and observers of a new name each turn made 900 to 1,900 calls a second at etcd; observers of one election were
// held from the twenty-first on.

/** One by one: so many go at once, then one each 50 ms at most. */
const BURST = 300;
const MOST_READS = BURST + (3 * WATCH_MS) / 50;

beforeEach(resetLoopGuards);

const breakOff = async (one: Election): Promise<void> => {
  for await (const _ of one.observe()) break;
};

describe('a new name each turn, in a loop', () => {
  const calls: Record<string, (one: Election) => Promise<unknown>> = {
    'leader()': (one) => one.leader(),
    'candidates()': (one) => one.candidates(),
    'observe(), broken off': breakOff,
  };

  test.for(Object.entries(calls))(
    'G1, G3: %s has one budget for all clients of an etcd',
    async ([, call], { election, client }) => {
      const shared = client();
      let turn = 0;
      let last: Promise<unknown> | undefined;
      const seen = await watch(
        () => (last = call(election(shared, `x${turn++}`)).catch(() => undefined)),
        3 * WATCH_MS,
      );
      expect(seen.rounds).toBeGreaterThan(BURST / 2);
      expect(seen.rounds).toBeLessThanOrEqual(MOST_READS);
      await last; // beside it, the next loop would not be alone
      // The loop may take another client each turn.
      const others = await watch(() => call(election(client(), `x${turn++}`)), WATCH_MS);
      expect(seen.rounds + others.rounds).toBeLessThanOrEqual(MOST_READS + WATCH_MS / 50);
    },
  );
});

test('a dashboard reads five hundred elections at once, and is not held', async ({ election, client }) => {
  const shared = client();
  const begunAtMs = performance.now();
  await Promise.all(Array.from({ length: 500 }, (_, i) => election(shared, `shown-${i}`).leader()));
  expect(performance.now() - begunAtMs).toBeLessThan(SOON_MS);
});

/** A viewer that has seen who leads. */
async function view(one: Election): Promise<AsyncGenerator<Observed, void, void>> {
  const leaders = one.observe();
  const first = await leaders.next();
  expect(first).toMatchObject({ done: false, value: { value: 'alice' } });
  return leaders;
}

test('many viewers of one election share one watch, come at once, and are told once', async ({
  candidate,
  client,
  election,
  etcd,
  log,
}) => {
  await candidate('alice').campaign();
  await using relay = await startRefusingRelay(etcd.endpoints[0]!);
  const shared = client({ hosts: relay.endpoint });

  const begunAtMs = performance.now();
  const first = await Promise.all(Array.from({ length: 60 }, () => view(election(shared))));
  const later = [];
  for (let i = 0; i < 60; i++) later.push(await view(election(shared)));
  expect(performance.now() - begunAtMs).toBeLessThan(SOON_MS);
  expect(relay.calls).toBeLessThanOrEqual(4); // a read, a watch, and what confirms it
  expect(log.of('observers.many')).toHaveLength(1);

  // Each one ends by itself, and the others go on.
  await first.pop()!.return();
  await Promise.all([...first, ...later].map((one) => one.return()));
});
