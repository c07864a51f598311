import { Election } from 'etcd-election';
import { describe, expect } from 'vitest';
import { RecordedLog } from '../support/recorded-log.ts';
import { expectHeld, watch, WATCH_MS } from '../support/hot-loop.ts';
import { SOON_MS, test } from '../support/world.ts';

// Calls with nothing to do: a new election each turn took half a core, and an iteration that was over answered within the
// turn, so the event loop never turned.

/** So many go at once, then one each 50 ms at most. */
const BURST_OF_A_CLIENT = 300;

describe('G1, G3: a new election each turn that is ended at once', () => {
  test.for(['close', 'resign', 'stepDown'] as const)('%s()', async (end, { client }) => {
    const shared = client({ hosts: [`127.0.0.1:1`] }); // a guard is of endpoints: none that other tests use
    const { logger } = new RecordedLog();
    let turn = 0;
    const seen = await watch(() => new Election(shared, `${end}-${turn++}`, { logger })[end](), 3 * WATCH_MS);
    expect(seen.rounds).toBeLessThanOrEqual(3 * BURST_OF_A_CLIENT + (3 * WATCH_MS) / 50);
  });

  test('two thousand that are closed side by side are not held', async ({ client }) => {
    const shared = client();
    const { logger } = new RecordedLog();
    const elections = Array.from(
      { length: 2_000 },
      (_, i) => new Election(shared, `unused-${i}`, { logger }),
    );
    const begunAtMs = performance.now();
    await Promise.all(elections.map((one) => one.close()));
    expect(performance.now() - begunAtMs).toBeLessThan(SOON_MS);
  });
});

describe('G1: an iteration that has not begun or is over', () => {
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
