import { describe, expect, test } from 'vitest';
import { poll } from '../support/poll.ts';
import { Operator } from './lab/gateway.ts';
import { nowMs } from './lab/history.ts';
import { NOISE_MS } from './lab/lab.ts';
import { freshName, Replica } from './lab/replica.ts';
import { sharedCluster } from './lab/story.ts';

// A stream fails without any error. Two replicas in this process each have their own network.

const cluster = sharedCluster();
const TTL_S = 3;
const TTL_MS = TTL_S * 1000;

async function two(ttlSeconds = TTL_S): Promise<{ alice: Replica; bob: Replica; name: string }> {
  const name = freshName();
  const { endpoints } = cluster();
  const options = { ttlSeconds };
  const alice = await Replica.start({ endpoints, election: name, value: 'alice', options });
  alice.stand();
  await poll(() => alice.leads, 10_000).toBe(true);
  const bob = await Replica.start({ endpoints, election: name, value: 'bob', options });
  bob.stand();
  await poll(() => bob.election.status.position, 10_000).toBe(2);
  return { alice, bob, name };
}

/** A fault that hits a watch which is being replaced is not told as a new loss. */
const watchIsUp = (replica: Replica): Promise<void> =>
  poll(() => replica.told('watch.lost').length - replica.told('watch.healed').length, TTL_MS).toBe(0);

describe('the library notices a silent stream within one TTL and replaces it', () => {
  test('L4: half-open connections are replaced when the network is back, and the candidate gets its turn', async () => {
    const { alice, bob } = await two();
    await using _alice = alice;
    await using _bob = bob;
    await alice.election.campaign('alice, announced anew');
    // The watch reported it, so the watch exists.
    await poll(() => bob.election.status.leader?.value, TTL_MS).toContain('anew');
    await watchIsUp(bob);

    const silentSinceMs = nowMs();
    for (const link of bob.links) link.stall();
    await poll(() => bob.told('watch.lost', silentSinceMs), TTL_MS + NOISE_MS).not.toEqual([]);
    await alice.election.close();
    await bob.restore();
    await poll(() => bob.leads, 3_000 + NOISE_MS).toBe(true);
  });

  test('L4: the member with all streams of the leader freezes: another one renews, and the term continues', async () => {
    const etcdLeader = await new Operator(cluster()).etcdLeader();
    const ttlMs = 2 * TTL_MS; // a busy machine costs no lease of this length
    const { alice, bob } = await two(2 * TTL_S);
    await using _alice = alice;
    await using _bob = bob;
    // etcd's own leader must stay: its replacement takes longer than a lease may (see frozen-etcd).
    const index = cluster().members.findIndex((member) => member !== etcdLeader);
    const [member, link] = [cluster().members[index]!, alice.links[index]!];
    const cutAtMs = nowMs();
    for (const other of alice.links) if (other !== link) other.cut();
    await poll(() => alice.usedLinks, ttlMs).toEqual([link]);
    await watchIsUp(alice);
    // The next renewal opens the stream that the cut has closed.
    await poll(() => alice.told('session.renewed', cutAtMs).length, ttlMs).toBeGreaterThan(1);
    await alice.restore();

    const sinceMs = nowMs();
    member.freeze();
    try {
      await poll(() => alice.told('session.renewed', sinceMs + ttlMs), 2 * ttlMs).not.toEqual([]);
      expect(alice.told('session.faltered', sinceMs)).not.toEqual([]); // this member had the stream
      expect(alice.terms).toHaveLength(1);
      expect(alice.leads).toBe(true);
    } finally {
      member.thaw();
    }
  });

  test('L4: two of three members refuse connections: each lost watch is back within one TTL', async () => {
    const { alice, bob } = await two();
    await using _alice = alice;
    await using _bob = bob;
    const [first, second, left] = alice.links;
    first!.cut();
    second!.cut();
    await poll(() => alice.usedLinks, TTL_MS).toEqual([left]);

    for (let turn = 0; turn < 5; turn++) {
      const sinceMs = nowMs();
      left!.reset();
      await poll(() => alice.told('watch.healed', sinceMs), TTL_MS).not.toEqual([]);
    }
    expect(alice.terms).toHaveLength(1);
    expect(alice.leads).toBe(true);
  });

  test('L4: the leader changes and etcd compacts while an observer is away: it sees the change and "nobody"', async () => {
    const { alice, bob, name } = await two(10); // the lease survives the restart below
    await using _alice = alice;
    await using _bob = bob;
    await using carol = await Replica.start({
      endpoints: cluster().endpoints,
      election: name,
      value: 'carol',
    });
    const seen: (string | undefined)[] = [];
    const observing = (async () => {
      for await (const leader of carol.election.observe()) if (leader !== null) seen.push(leader?.value); // null: unknown, if the restart below takes long
    })();
    await poll(() => seen, TTL_MS).toEqual(['alice']);

    for (const link of carol.links) link.cut();
    await alice.election.close();
    await poll(() => bob.leads, TTL_MS).toBe(true);
    await new Operator(cluster()).compact();
    await carol.restore();
    await poll(() => seen, TTL_MS + 3_000).toEqual(['alice', 'bob']);

    for (const link of carol.links) link.cut();
    await cluster().restart();
    await carol.restore();
    await bob.election.close();
    await poll(() => seen.at(-1), TTL_MS + 3_000).toBe(undefined);
    expect(seen).toHaveLength(3);
    await carol.election.close();
    await observing;
  });

  test('L4: the changes during a silence arrive in one batch: the observer names the oldest candidate (etcd #18163)', async () => {
    const operator = new Operator(cluster());
    const name = freshName();
    const key = (candidate: string): string => `election/${name}/${candidate}`;
    await using carol = await Replica.start({
      endpoints: cluster().endpoints,
      election: name,
      value: 'carol',
      options: { ttlSeconds: 10 },
    });
    const seen: (string | undefined)[] = [];
    const observing = (async () => {
      for await (const leader of carol.election.observe()) seen.push(leader?.value);
    })();
    await poll(() => seen, TTL_MS).toEqual([undefined]);
    for (const link of carol.links) link.stall('down');
    for (const candidate of ['b', 'a', 'c']) await operator.put(key(candidate), candidate);
    await operator.put(key('c'), 'c again');
    for (const link of carol.links) link.resume();
    await poll(() => seen, TTL_MS).toEqual([undefined, 'b']);
    for (const candidate of ['b', 'a', 'c']) await operator.delete(key(candidate));
    await carol.election.close();
    await observing;
  });
});
