import { ElectionClosedError, UnavailableError } from 'etcd-election';
import { startProxy } from 'etcd-election/dev';
import { describe, expect } from 'vitest';
import { eventually, within } from '../support/eventually.ts';
import { SOON_MS, test } from '../support/world.ts';

describe('leader()', () => {
  test('returns the leader, and undefined if there is none', async ({ candidate, election, client }) => {
    const one = election(client());
    expect(await one.leader()).toBeUndefined();
    expect(await one.candidates()).toEqual([]);
    const term = await candidate('alice').campaign();
    expect(await one.leader()).toEqual({
      key: term.key,
      value: 'alice',
      fencingToken: term.fencingToken,
      leaseId: term.leaseId,
      isMe: false,
    });
  });

  test('gives concurrent callers the same answer', async ({ candidate, election, client }) => {
    await candidate('alice').campaign();
    const one = election(client());
    const answers = await Promise.all(Array.from({ length: 50 }, () => one.leader()));
    expect(new Set(answers.map((leader) => leader?.value))).toEqual(new Set(['alice']));
  });

  test('is linearizable: a call after a change sees it, although an earlier call is still waiting', async ({
    candidate,
    election,
    client,
    etcd,
  }) => {
    const alice = candidate('alice');
    const bob = candidate('bob');
    await alice.campaign();
    void bob.campaign();
    await bob.queued();
    await using proxy = await startProxy({ target: etcd.endpoints[0]! });
    const reader = election(client({ hosts: proxy.endpoint }));
    await reader.leader(); // this opens the connection

    proxy.stall('down');
    const sent = proxy.bytesUp;
    const earlier = reader.leader();
    await eventually(() => proxy.bytesUp > sent, { withinMs: SOON_MS });
    await alice.election.resign();
    await bob.elected();
    const later = reader.leader();
    proxy.resume();

    expect(['alice', 'bob']).toContain((await earlier)?.value);
    expect((await later)?.value).toBe('bob');
  });

  test('rejects while etcd does not answer, and works again when it does', async ({
    election,
    client,
    etcd,
  }) => {
    await using proxy = await startProxy({ target: etcd.endpoints[0]! });
    const one = election(client({ hosts: proxy.endpoint }));
    await one.leader();
    proxy.stall();
    await expect(within(SOON_MS, 'an answer', one.leader())).rejects.toBeInstanceOf(UnavailableError);
    proxy.resume();
    await eventually(async () => (await one.leader()) === undefined, { withinMs: 2 * SOON_MS });
  });

  test('is refused after close()', async ({ election, client }) => {
    const one = election(client());
    await one.close();
    await expect(one.leader()).rejects.toBeInstanceOf(ElectionClosedError);
    await expect(one.candidates()).rejects.toBeInstanceOf(ElectionClosedError);
  });
});
