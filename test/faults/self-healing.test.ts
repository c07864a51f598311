import { Etcd3 } from 'etcd3';
import type { FaultyProxy } from 'etcd-election/dev';
import { describe, expect, test } from 'vitest';
import { CALL_LIMIT_MS } from '../../src/client/session.ts';
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

describe('a lost reply', () => {
  /** An election of its own, which keeps the session while a second one comes and goes. */
  const ofAnother = (): Parameters<typeof Replica.start>[0] => ({
    endpoints: cluster().endpoints,
    election: freshName(),
    value: 'alice',
    options: { ttlSeconds: 2 * TTL_S },
  });

  async function leads(alice: Replica): Promise<void> {
    alice.stand();
    await poll(() => alice.leads, 10_000).toBe(true);
  }

  /** The replica enters a second election, and the reply is lost. */
  async function enterWithoutReply(alice: Replica, name: string) {
    await connectAll(alice);
    const second = alice.another(name, { ttlSeconds: 2 * TTL_S });
    for (const link of alice.links) link.loseReplies();
    const term = second.campaign('alice');
    await poll(() => alice.told('candidate.failed'), TTL_MS).not.toEqual([]);
    return { second, term };
  }

  const queue = (name: string) => new Operator(cluster()).list(`election/${name}/`);

  /** A call that must connect first does not arrive while replies are lost. */
  const connectAll = (replica: Replica) =>
    poll(async () => {
      await replica.election.leader();
      return replica.usedLinks;
    }, 10_000).toEqual(replica.links);

  test('L3: to the grant: another lease is granted, and the first one does not remain', async () => {
    const name = freshName();
    await using alice = await Replica.start({
      endpoints: cluster().endpoints,
      election: name,
      value: 'alice',
      options: { ttlSeconds: TTL_S },
    });
    const operator = new Operator(cluster());
    const before = await operator.leases();
    const granted = async () => (await operator.leases()).filter((lease) => !before.includes(lease));
    await connectAll(alice);
    for (const link of alice.links) link.loseReplies();
    alice.stand();
    await poll(() => alice.told('session.unavailable'), TTL_MS).not.toEqual([]);
    const [lease, ...others] = await granted();
    expect([lease !== undefined, others]).toEqual([true, []]);
    await alice.restore();
    await poll(() => alice.leads, 3_000 + NOISE_MS).toBe(true);
    const [term] = alice.terms;
    expect(term!.leaseId).not.toBe(lease);
    await poll(granted, NOISE_MS).toEqual([term!.leaseId]);
  });

  test('L3: to the entry: the candidate finds its key, and leads under it', async () => {
    const name = freshName();
    await using alice = await Replica.start(ofAnother());
    await leads(alice);
    const { second, term } = await enterWithoutReply(alice, name);
    expect(await queue(name)).toHaveLength(1);
    await alice.restore();
    expect((await term).isCurrent()).toBe(true);
    expect((await queue(name)).map(({ createRevision }) => createRevision)).toEqual([
      (await term).fencingToken,
    ]);
    await second.close();
  });

  test.for([
    ['the reply is lost', (link) => link.loseReplies(), 0],
    ['the request is lost', (link) => link.stall('up'), 1],
  ] as const satisfies [string, (link: FaultyProxy) => void, number][])(
    'S5: to the resignation, %s: the key is deleted, although another election keeps the session',
    async ([, harm, keysLeft]) => {
      const name = freshName();
      await using alice = await Replica.start(ofAnother());
      await leads(alice);
      const second = alice.another(name, { ttlSeconds: 2 * TTL_S });
      await second.campaign('alice');
      await connectAll(alice);
      const renewals = alice.told('session.renewed').length;
      await poll(() => alice.told('session.renewed').length, 2 * TTL_MS).toBe(renewals + 1);
      for (const link of alice.links) harm(link);
      const began = nowMs();
      await second.close();
      expect(nowMs() - began).toBeLessThan(2 * CALL_LIMIT_MS + NOISE_MS);
      expect(alice.told('release.failed', began)).not.toEqual([]);
      expect(await queue(name)).toHaveLength(keysLeft);
      await alice.restore();
      await poll(() => queue(name), 2 * TTL_MS + NOISE_MS).toEqual([]);
      expect(alice.leads).toBe(true);
    },
  );

  test.for([1, 2])(
    'L3: a late duplicate of an entry is deleted after %i resignations, although the session continues',
    async (resignations) => {
      const name = freshName();
      await using alice = await Replica.start(ofAnother());
      await leads(alice);
      const { second, term } = await enterWithoutReply(alice, name);
      await alice.restore();
      const { leaseId } = await term;
      const [key] = (await queue(name)).map((entry) => entry.key);
      await second.resign();
      for (let more = 1; more < resignations; more++) {
        await second.campaign('alice');
        await second.resign();
      }
      expect(await queue(name)).toEqual([]);

      // A member that was frozen meanwhile executes the first try late.
      const late = new Etcd3({ hosts: [...cluster().endpoints] });
      await late.put(key!).value('alice').lease(leaseId);
      late.close();
      await poll(() => queue(name), 2 * TTL_MS + NOISE_MS).toEqual([]);
      expect(alice.leads).toBe(true);
    },
  );
});

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
