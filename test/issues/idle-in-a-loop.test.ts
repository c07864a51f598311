import { Election } from 'etcd-election';
import { describe, expect } from 'vitest';
import { RecordedLog } from '../support/recorded-log.ts';
import { expectHeld, holdsDuring, watch, WATCH_MS } from '../support/hot-loop.ts';
import { test } from '../support/world.ts';

// Calls with nothing to do: a new election each turn used half a core. An ended iteration answered within the turn, so
// the event loop never turned.

/** This many go at once, then at most one per 50 ms. */
const BURST_OF_A_CLIENT = 300;

describe('G1, G3: a new election each turn that ends at once', () => {
  test.for(['close', 'resign', 'stepDown'] as const)('%s()', async (end, { client }) => {
    const shared = client({ hosts: [`127.0.0.1:1`] }); // a guard belongs to endpoints: no other test uses these
    const { logger } = new RecordedLog();
    let turn = 0;
    const seen = await watch(() => new Election(shared, `${end}-${turn++}`, { logger })[end](), 3 * WATCH_MS);
    expect(seen.rounds).toBeLessThanOrEqual(3 * BURST_OF_A_CLIENT + seen.tookMs / 50);
  });

  test('two thousand elections that close concurrently are not held', async ({ client }) => {
    const shared = client();
    const { logger } = new RecordedLog();
    const elections = Array.from(
      { length: 2_000 },
      (_, i) => new Election(shared, `unused-${i}`, { logger }),
    );
    expect(await holdsDuring(() => Promise.all(elections.map((one) => one.close())))).toEqual([]);
  });
});

describe('G1: an iteration that has not begun or has ended', () => {
  test('observe().return(), a new iteration each turn', async ({ election, client }) => {
    const one = election(client());
    expectHeld(await watch(() => one.observe().return()));
  });

  test('observe().throw(), a new iteration each turn', async ({ election, client }) => {
    const one = election(client());
    expectHeld(await watch(() => one.observe().throw(new Error('enough'))));
  });

  test.for(['next', 'return'] as const)('%s() of one that has ended', async (call, { election, client }) => {
    const leaders = election(client()).observe();
    await leaders.next();
    await leaders.return();
    expectHeld(await watch(() => leaders[call]()));
  });

  test('next() of one that has failed', async ({ election, client }) => {
    const leaders = election(client()).observe();
    await leaders.next();
    await leaders.throw(new Error('enough')).catch(() => undefined);
    expectHeld(await watch(() => leaders.next()));
  });
});
