import { Etcd3 } from 'etcd3';
import type { FaultyProxy } from 'etcd-election/dev';
import { describe, expect, test } from 'vitest';
import { CALL_LIMIT_MS } from '../../src/client/session.ts';
import { Operator } from './lab/gateway.ts';
import { nowMs } from './lab/history.ts';
import { NOISE_MS } from './lab/lab.ts';
import { freshName, Replica } from './lab/replica.ts';
import { sharedCluster } from './lab/story.ts';

// A stream that dies silently tells nobody. Two replicas in this process, each with a network of its own.

const cluster = sharedCluster();
const TTL_S = 3;
const TTL_MS = TTL_S * 1000;

async function two(ttlSeconds = TTL_S): Promise<{ alice: Replica; bob: Replica; name: string }> {
  const name = freshName();
  const { endpoints } = cluster();
  const options = { ttlSeconds };
  const alice = await Replica.start({ endpoints, election: name, value: 'alice', options });
  alice.stand();
  await expect.poll(() => alice.leads, { timeout: 10_000 }).toBe(true);
  const bob = await Replica.start({ endpoints, election: name, value: 'bob', options });
  bob.stand();
  await expect.poll(() => bob.election.status.position, { timeout: 10_000 }).toBe(2);
  return { alice, bob, name };
}

const within = (ms: number) => ({ timeout: ms, interval: 10 });

describe('a stream that falls silent is noticed within one TTL, and healed', () => {
  test('L4: half-open connections: noticed, healed when the network is back, and the turn is not missed', async () => {
    const { alice, bob } = await two();
    await using _alice = alice;
    await using _bob = bob;
    await alice.election.campaign('alice, announced anew');
    // Heard over the watch: so there is one.
    await expect.poll(() => bob.election.status.leader?.value, within(TTL_MS)).toContain('anew');

    const silentSinceMs = nowMs();
    for (const link of bob.links) link.stall();
    await expect.poll(() => bob.told('watch.lost', silentSinceMs), within(TTL_MS + NOISE_MS)).not.toEqual([]);
    await alice.election.close();
    await bob.restore();
    await expect.poll(() => bob.leads, within(3_000 + NOISE_MS)).toBe(true);
  });

  test('L4: the member behind all streams of the leader freezes: the lease is renewed elsewhere, and the term goes on', async () => {
    const etcdLeader = await new Operator(cluster()).etcdLeader();
    const { alice, bob } = await two();
    await using _alice = alice;
    await using _bob = bob;
    // etcd's own leader must live on: who replaces it takes longer than a lease may (see frozen-etcd).
    const index = cluster().members.findIndex((member) => member !== etcdLeader);
    const [member, link] = [cluster().members[index]!, alice.links[index]!];
    const cutAtMs = nowMs();
    for (const other of alice.links) if (other !== link) other.cut();
    await expect.poll(() => alice.usedLinks, within(TTL_MS)).toEqual([link]);
    await expect
      .poll(() => alice.told('watch.lost').length - alice.told('watch.healed').length, within(TTL_MS))
      .toBe(0);
    // A stream that the cut has ended is opened by the next renewal.
    await expect.poll(() => alice.told('session.renewed', cutAtMs).length, within(TTL_MS)).toBeGreaterThan(1);
    await alice.restore();

    const sinceMs = nowMs();
    member.freeze();
    try {
      await expect
        .poll(() => alice.told('session.renewed', sinceMs + TTL_MS), within(2 * TTL_MS))
        .not.toEqual([]);
      expect(alice.told('session.faltered', sinceMs)).not.toEqual([]); // it was the one
      expect(alice.terms).toHaveLength(1);
      expect(alice.leads).toBe(true);
    } finally {
      member.thaw();
    }
  });

  test('L4: two of three members refuse connections: a watch that is lost is back within one TTL, each time', async () => {
    const { alice, bob } = await two();
    await using _alice = alice;
    await using _bob = bob;
    const [first, second, left] = alice.links;
    first!.cut();
    second!.cut();
    await expect.poll(() => alice.usedLinks, within(TTL_MS)).toEqual([left]);

    for (let turn = 0; turn < 5; turn++) {
      const sinceMs = nowMs();
      left!.reset();
      await expect.poll(() => alice.told('watch.healed', sinceMs), within(TTL_MS)).not.toEqual([]);
    }
    expect(alice.terms).toHaveLength(1);
    expect(alice.leads).toBe(true);
  });

  test('L4: compaction while away, and a leader that changed meanwhile: the observer hears of it, and of "nobody"', async () => {
    const { alice, bob, name } = await two(10); // a lease that outlives the restart below
    await using _alice = alice;
    await using _bob = bob;
    await using carol = await Replica.start({
      endpoints: cluster().endpoints,
      election: name,
      value: 'carol',
    });
    const seen: (string | undefined)[] = [];
    const observing = (async () => {
      for await (const leader of carol.election.observe()) seen.push(leader?.value);
    })();
    await expect.poll(() => seen, within(TTL_MS)).toEqual(['alice']);

    for (const link of carol.links) link.cut();
    await alice.election.close();
    await expect.poll(() => bob.leads, within(TTL_MS)).toBe(true);
    await new Operator(cluster()).compact();
    await carol.restore();
    await expect.poll(() => seen, within(TTL_MS + 3_000)).toEqual(['alice', 'bob']);

    for (const link of carol.links) link.cut();
    await cluster().restart();
    await carol.restore();
    await bob.election.close();
    await expect.poll(() => seen.at(-1), within(TTL_MS + 3_000)).toBe(undefined);
    expect(seen).toHaveLength(3);
    await carol.election.close();
    await observing;
  });

  test('L4: what happened in a silence comes in one batch: the observer names the oldest (etcd #18163)', async () => {
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
    await expect.poll(() => seen, within(TTL_MS)).toEqual([undefined]);
    for (const link of carol.links) link.stall('down');
    for (const candidate of ['b', 'a', 'c']) await operator.put(key(candidate), candidate);
    await operator.put(key('c'), 'c again');
    for (const link of carol.links) link.resume();
    await expect.poll(() => seen, within(TTL_MS)).toEqual([undefined, 'b']);
    for (const candidate of ['b', 'a', 'c']) await operator.delete(key(candidate));
    await carol.election.close();
    await observing;
  });
});

describe('a reply that is lost', () => {
  const queue = (name: string) => new Operator(cluster()).list(`election/${name}/`);

  /** What a call has to dial for first does not arrive where replies are lost. */
  const connectAll = (replica: Replica) =>
    expect
      .poll(async () => {
        await replica.election.leader();
        return replica.usedLinks;
      }, within(10_000))
      .toEqual(replica.links);

  test('L3: of the grant: it is asked for again under the same ID, and no second lease is left behind', async () => {
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
    await expect.poll(() => alice.told('session.unavailable'), within(TTL_MS)).not.toEqual([]);
    const [lease, ...others] = await granted();
    expect([lease !== undefined, others]).toEqual([true, []]);
    await alice.restore();
    await expect.poll(() => alice.leads, within(3_000 + NOISE_MS)).toBe(true);
    expect(await granted()).toEqual([lease]);
    expect(alice.terms[0]!.leaseId).toBe(lease);
  });

  test('L3: of entering: its key is found standing, and it leads under it', async () => {
    const name = freshName();
    await using alice = await Replica.start({
      endpoints: cluster().endpoints,
      election: freshName(),
      value: 'alice',
      options: { ttlSeconds: 2 * TTL_S },
    });
    alice.stand();
    await expect.poll(() => alice.leads, within(10_000)).toBe(true);
    await connectAll(alice);
    const second = alice.another(name, { ttlSeconds: 2 * TTL_S });
    for (const link of alice.links) link.loseReplies();
    const term = second.campaign('alice');
    await expect.poll(() => alice.told('candidate.failed'), within(TTL_MS)).not.toEqual([]);
    expect(await queue(name)).toHaveLength(1);
    await alice.restore();
    expect((await term).isCurrent()).toBe(true);
    expect((await queue(name)).map(({ createRevision }) => createRevision)).toEqual([
      (await term).fencingToken,
    ]);
    await second.close();
  });

  test.for([
    ['the reply does not come back', (link) => link.loseReplies(), 0],
    ['not even the request arrives', (link) => link.stall('up'), 1],
  ] as const satisfies [string, (link: FaultyProxy) => void, number][])(
    'S5: of resigning, %s: the key is gone, though the session lives on for another election',
    async ([, harm, keysLeft]) => {
      const name = freshName();
      await using alice = await Replica.start({
        endpoints: cluster().endpoints,
        election: freshName(),
        value: 'alice',
        options: { ttlSeconds: 2 * TTL_S },
      });
      alice.stand();
      await expect.poll(() => alice.leads, within(10_000)).toBe(true);
      const second = alice.another(name, { ttlSeconds: 2 * TTL_S });
      await second.campaign('alice');
      await connectAll(alice);
      const renewals = alice.told('session.renewed').length;
      await expect.poll(() => alice.told('session.renewed').length, within(2 * TTL_MS)).toBe(renewals + 1);
      for (const link of alice.links) harm(link);
      const began = nowMs();
      await second.close();
      expect(nowMs() - began).toBeLessThan(2 * CALL_LIMIT_MS + NOISE_MS);
      expect(alice.told('release.failed', began)).not.toEqual([]);
      expect(await queue(name)).toHaveLength(keysLeft);
      await alice.restore();
      await expect.poll(() => queue(name), within(2 * TTL_MS + NOISE_MS)).toEqual([]);
      expect(alice.leads).toBe(true);
    },
  );

  test('L3: an entry that arrives once more when its key was given up is taken back, though the session lives on', async () => {
    const name = freshName();
    await using alice = await Replica.start({
      endpoints: cluster().endpoints,
      election: freshName(),
      value: 'alice',
      options: { ttlSeconds: 2 * TTL_S },
    });
    alice.stand();
    await expect.poll(() => alice.leads, within(10_000)).toBe(true);
    await connectAll(alice);
    const second = alice.another(name, { ttlSeconds: 2 * TTL_S });
    for (const link of alice.links) link.loseReplies();
    const term = second.campaign('alice');
    await expect.poll(() => alice.told('candidate.failed'), within(TTL_MS)).not.toEqual([]);
    await alice.restore();
    const { leaseId } = await term;
    const [key] = (await queue(name)).map((entry) => entry.key);
    await second.resign();
    expect(await queue(name)).toEqual([]);

    // What a member that was frozen meanwhile does with the first try.
    const late = new Etcd3({ hosts: [...cluster().endpoints] });
    await late.put(key!).value('alice').lease(leaseId);
    late.close();
    await expect.poll(() => queue(name), within(2 * TTL_MS + NOISE_MS)).toEqual([]);
    expect(alice.leads).toBe(true);
  });
});

describe('ways for a term to end', () => {
  test('S5: a signal that has aborted already still gives up the key at once (trillian #3789)', async () => {
    const name = freshName();
    const stop = new AbortController();
    await using alice = await Replica.start({
      endpoints: cluster().endpoints,
      election: name,
      value: 'alice',
      options: { ttlSeconds: 60, signal: stop.signal },
    });
    alice.stand();
    await expect.poll(() => alice.leads, within(10_000)).toBe(true);
    stop.abort();
    expect(alice.leads).toBe(false);
    await expect.poll(() => new Operator(cluster()).list(`election/${name}/`), within(3_000)).toEqual([]);
  });

  test('S5: work that ignores its end is told on, and is not begun a second time beside itself', async () => {
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
    await expect.poll(() => alice.leads, within(10_000)).toBe(true);

    for (const link of alice.links) link.cut();
    await expect.poll(() => alice.told('drain.overdue'), within(2 * TTL_MS)).not.toEqual([]);
    expect(alice.leads).toBe(false);
    await alice.restore();
    // Long enough to stand again, were there no work of old.
    const untilMs = nowMs() + 3_000 + NOISE_MS;
    await expect.poll(nowMs, within(2 * (3_000 + NOISE_MS))).toBeGreaterThan(untilMs);
    expect([running, alice.terms.length]).toEqual([1, 1]);
    expect(await new Operator(cluster()).list(`election/${name}/`)).toEqual([]);
    finish();
    await expect.poll(() => alice.terms.length, within(3_000 + NOISE_MS)).toBe(2);
    expect(most).toBe(1);
    finish();
  });

  test('L3, F18: work that is stuck keeps no seat: another replica gets it (pd #11106)', async () => {
    const name = freshName();
    const { endpoints } = cluster();
    const options = { ttlSeconds: TTL_S, progressTimeoutMs: 500, onLeader: () => undefined };
    await using alice = await Replica.start({ endpoints, election: name, value: 'alice', options });
    alice.stand();
    await expect.poll(() => alice.leads, within(10_000)).toBe(true);
    await using bob = await Replica.start({
      endpoints,
      election: name,
      value: 'bob',
      options: { ttlSeconds: TTL_S },
    });
    bob.stand();
    await expect.poll(() => bob.leads, within(TTL_MS)).toBe(true);
    expect(new Set(alice.told('term.ended').map(({ fields }) => fields['reason']))).toEqual(
      new Set(['no-progress']), // more than once, where bob was not in the queue yet
    );
  });
});
