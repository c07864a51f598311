import { describe, expect, test } from 'vitest';
import { poll } from '../support/poll.ts';
import { Operator } from './lab/gateway.ts';
import { nowMs } from './lab/history.ts';
import { NOISE_MS } from './lab/lab.ts';
import { freshName, Replica } from './lab/replica.ts';
import { sharedCluster } from './lab/story.ts';

const cluster = sharedCluster();
const TTL_S = 3;
const TTL_MS = TTL_S * 1000;

describe('ways for a term to end', () => {
  test('S5: a signal that is already aborted still deletes the key at once (trillian #3789)', async () => {
    const name = freshName();
    const stop = new AbortController();
    await using alice = await Replica.start({
      endpoints: cluster().endpoints,
      election: name,
      value: 'alice',
      options: { ttlSeconds: 60, signal: stop.signal },
    });
    alice.stand();
    await poll(() => alice.leads, 10_000).toBe(true);
    stop.abort();
    expect(alice.leads).toBe(false);
    await poll(() => new Operator(cluster()).list(`election/${name}/`), 3_000).toEqual([]);
  });

  test('S5: work that ignores the end of its term is logged, and never runs twice at a time', async () => {
    const name = freshName();
    let running = 0;
    let most = 0;
    let finish: () => void = () => undefined;
    const onLeader = async (): Promise<void> => {
      most = Math.max(most, ++running);
      await new Promise<void>((resolve) => (finish = resolve));
      running--;
    };
    await using alice = await Replica.start({
      endpoints: cluster().endpoints,
      election: name,
      value: 'alice',
      options: { ttlSeconds: TTL_S, drainTimeoutMs: 300, onLeader },
    });
    alice.stand();
    await poll(() => alice.leads, 10_000).toBe(true);

    for (const link of alice.links) link.cut();
    await poll(() => alice.told('drain.overdue'), 2 * TTL_MS).not.toEqual([]);
    expect(alice.leads).toBe(false);
    await alice.restore();
    // Without the old work, this would be long enough to enter again.
    const untilMs = nowMs() + 3_000 + NOISE_MS;
    await poll(nowMs, 2 * (3_000 + NOISE_MS)).toBeGreaterThan(untilMs);
    expect([running, alice.terms.length]).toEqual([1, 1]);
    expect(await new Operator(cluster()).list(`election/${name}/`)).toEqual([]);
    finish();
    await poll(() => alice.terms.length, 3_000 + NOISE_MS).toBe(2);
    expect(most).toBe(1);
    finish();
  });

  test('L3, F18: stuck work loses the leadership to another replica (pd #11106)', async () => {
    const name = freshName();
    const { endpoints } = cluster();
    const options = { ttlSeconds: TTL_S, progressTimeoutMs: 500, onLeader: () => undefined };
    await using alice = await Replica.start({ endpoints, election: name, value: 'alice', options });
    alice.stand();
    await poll(() => alice.leads, 10_000).toBe(true);
    await using bob = await Replica.start({
      endpoints,
      election: name,
      value: 'bob',
      options: { ttlSeconds: TTL_S },
    });
    bob.stand();
    await poll(() => bob.leads, TTL_MS).toBe(true);
    expect(new Set(alice.told('term.ended').map(({ fields }) => fields['reason']))).toEqual(
      new Set(['no-progress']), // more than once, if bob was not yet in the queue
    );
  });
});
