import { startProxy } from 'etcd-election/dev';
import { describe, expect } from 'vitest';
import { eventually, within } from '../support/eventually.ts';
import { abortOf, SHORT_TTL_SECONDS, SOON_MS, test } from '../support/world.ts';
import { observed, sees } from '../support/observed.ts';

describe('L4: a leader is shown only as long as we can know that it leads', () => {
  const ttlSeconds = SHORT_TTL_SECONDS;

  test('observe() yields "unknown" within one TTL of silence, and then the leader again', async ({
    candidate,
    election,
    client,
    etcd,
  }) => {
    await candidate('alice').campaign();
    await using proxy = await startProxy({ target: etcd.endpoints[0]! });
    const { seen } = observed(election(client({ hosts: proxy.endpoint }), 'e', { ttlSeconds }).observe());
    await sees(seen, 'alice');
    const askedAtMs = performance.now();
    proxy.stall();
    await sees(seen, 'alice', 'unknown');
    expect(performance.now() - askedAtMs).toBeLessThan(ttlSeconds * 1_000 + SOON_MS / 2);
    proxy.resume();
    await sees(seen, 'alice', 'unknown', 'alice');
  });

  test('observe() without a first answer yields "unknown" too', async ({ election, client, etcd }) => {
    await using proxy = await startProxy({ target: etcd.endpoints[0]! });
    proxy.cut();
    const { seen } = observed(election(client({ hosts: proxy.endpoint }), 'e', { ttlSeconds }).observe());
    await sees(seen, 'unknown');
    await proxy.restore();
    await sees(seen, 'unknown', 'nobody');
  });

  test('observe() of the leader itself follows its lease', async ({ election, client, etcd }) => {
    await using proxy = await startProxy({ target: etcd.endpoints[0]! });
    const one = election(client({ hosts: proxy.endpoint }), 'e', { ttlSeconds });
    const term = await one.campaign('me');
    const leaders = one.observe();
    expect((await leaders.next()).value).toMatchObject({ value: 'me', isMe: true });
    proxy.stall();
    const next = leaders.next();
    await abortOf(term.signal);
    expect(await within(250, 'what it shows', next)).toEqual({ done: false, value: null });
  });

  test('status.leader and onLeaderChange of a follower that is cut off', async ({
    candidate,
    client,
    etcd,
  }) => {
    await candidate('alice').campaign();
    await using proxy = await startProxy({ target: etcd.endpoints[0]! });
    const heard: (string | undefined)[] = [];
    const bob = candidate('bob', {
      ttlSeconds,
      client: client({ hosts: proxy.endpoint }),
      onLeaderChange: (leader) => void heard.push(leader?.value),
    });
    void bob.campaign();
    await eventually(() => expect(heard).toEqual(['alice']), { withinMs: SOON_MS });
    proxy.stall();
    await eventually(() => expect(heard).toEqual(['alice', undefined]), { withinMs: SOON_MS });
    expect(bob.election.status.leader).toBeUndefined();
    proxy.resume();
    await eventually(() => expect(heard).toEqual(['alice', undefined, 'alice']), { withinMs: 2 * SOON_MS });
  });
});
