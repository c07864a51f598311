import { setTimeout as sleep } from 'node:timers/promises';
import { startProxy } from 'etcd-election/dev';
import { describe, expect, onTestFinished } from 'vitest';
import { Deferred } from '../../src/util/deferred.ts';
import { eventually, within } from '../support/eventually.ts';
import {
  abortOf,
  SHORT_TTL_SECONDS,
  SOON_MS,
  test,
  TTL_SECONDS,
  type TestCandidate,
} from '../support/world.ts';

/** The limit of L5 after an outage, in milliseconds. */
const AFTER_OUTAGE_MS = 3_000;

/** Two candidates; the first one leads. */
async function pair(alice: TestCandidate, bob: TestCandidate) {
  const term = await alice.campaign();
  void bob.campaign();
  await bob.queued();
  return term;
}

describe('cut off', () => {
  const ttlSeconds = SHORT_TTL_SECONDS;

  test('S2, F4: a leader without etcd stops before the next one starts; its late messages have no effect', async ({
    candidate,
    etcd,
    history,
    world,
  }) => {
    await using proxy = await startProxy({ target: etcd.endpoints[0]! });
    const alice = candidate('alice', {
      ttlSeconds,
      hosts: proxy.endpoint,
      onLeader: (term) => abortOf(term.signal),
    });
    const bob = candidate('bob', { ttlSeconds });
    const term = await pair(alice, bob);

    proxy.stall();
    expect(
      await within(ttlSeconds * 1_000 + SOON_MS, 'the end of the term', abortOf(term.signal)),
    ).toMatchObject({
      reason: 'deadline-passed',
    });
    expect(bob.election.status.state).toBe('waiting');
    const next = await bob.elected(ttlSeconds * 1_000 + SOON_MS);
    proxy.resume();

    await alice.queued(2 * ttlSeconds * 1_000 + SOON_MS);
    expect(next.isCurrent()).toBe(true);
    expect((await world.keys())[0]).toBe(next.key);
    expect(history.leaders()).toEqual(['alice', 'bob']);
    expect(history.leadersAtOnce()).toBe(1);
  });

  test('F16: a drain outlives the lease: the next one leads, and no clean release is reported', async ({
    candidate,
    etcd,
    log,
    world,
  }) => {
    await using proxy = await startProxy({ target: etcd.endpoints[0]! });
    const finish = new Deferred<void>();
    const alice = candidate('alice', {
      ttlSeconds,
      hosts: proxy.endpoint,
      drainTimeoutMs: 10 * ttlSeconds * 1_000,
      onLeader: () => finish.promise,
    });
    const bob = candidate('bob', { ttlSeconds });
    await pair(alice, bob);

    const resigning = alice.election.resign();
    proxy.stall();
    const next = await bob.elected(2 * ttlSeconds * 1_000 + SOON_MS);
    expect(alice.election.status.state).toBe('leaving');
    proxy.resume();
    finish.resolve();
    await within(SOON_MS, 'resign()', resigning);

    expect(log.of('term.released')).toEqual([]);
    expect(next.isCurrent()).toBe(true);
    expect((await world.keys())[0]).toBe(next.key);
  });

  test('F8, S2: a leader that blocks its event loop past the TTL notices before it acts', async ({
    candidate,
    history,
  }) => {
    const alice = candidate('alice', { ttlSeconds });
    const term = await alice.campaign();
    const until = performance.now() + ttlSeconds * 1_000;
    while (performance.now() < until); // blocks the event loop: no timer runs
    expect(term.isCurrent()).toBe(false);
    expect(term.remainingMs()).toBe(0);
    expect(() => term.assertCurrent()).toThrow('deadline-passed');
    await expect(term.txn().commit()).rejects.toMatchObject({ code: 'ELECTION_LEADERSHIP_LOST' });
    const next = await alice.elected(ttlSeconds * 1_000 + SOON_MS);
    expect(next.fencingToken).toBeGreaterThan(term.fencingToken);
    expect(history.leadersAtOnce()).toBe(1);
  });

  test('F2: etcd compacts while a candidate is away: it keeps its place, and leads in its turn', async ({
    candidate,
    etcd,
    world,
    history,
  }) => {
    await using proxy = await startProxy({ target: etcd.endpoints[0]! });
    const alice = candidate('alice');
    const bob = candidate('bob', { hosts: proxy.endpoint });
    await pair(alice, bob);
    const carol = candidate('carol');
    void carol.campaign();
    await carol.queued();
    const before = await world.keys();

    proxy.cut();
    await carol.election.resign();
    const { header } = await world.own.put(`${world.prefix}other`).value('x').exec();
    await world.own.kv.compact({ revision: header.revision, physical: true });
    await proxy.restore();
    await eventually(() => expect(bob.election.status.leader?.value).toBe('alice'), { withinMs: SOON_MS });
    expect(await world.keys()).toEqual(before.slice(0, 2)); // no key remains, and none exists twice

    await alice.election.resign();
    await bob.elected(TTL_SECONDS * 1_000);
    expect(history.leaders()).toEqual(['alice', 'bob']);
  });

  test('F2: the leader resigns and etcd compacts while the next one is away: it leads on return', async ({
    candidate,
    etcd,
    world,
  }) => {
    await using proxy = await startProxy({ target: etcd.endpoints[0]! });
    const alice = candidate('alice');
    const bob = candidate('bob', { hosts: proxy.endpoint });
    await pair(alice, bob);

    proxy.cut();
    await alice.election.resign();
    const { header } = await world.own.put(`${world.prefix}other`).value('x').exec();
    await world.own.kv.compact({ revision: header.revision, physical: true });
    await proxy.restore();

    const term = await bob.elected(TTL_SECONDS * 1_000);
    expect(await world.keys()).toEqual([term.key]);
  });

  test('L5: resign() without etcd leaves a key that does not delay the next term', async ({
    candidate,
    etcd,
    world,
  }) => {
    await using proxy = await startProxy({ target: etcd.endpoints[0]! });
    const alice = candidate('alice', { hosts: proxy.endpoint, ttlSeconds: 10 });
    const term = await alice.campaign();

    proxy.cut();
    await alice.election.resign();
    await proxy.restore();
    expect(await world.keys()).toEqual([term.key]);

    await within(AFTER_OUTAGE_MS, 'the next term', alice.campaign());
  });

  test('a connection that is reset again and again ends no term, and is replaced one at a time', async ({
    candidate,
    etcd,
  }) => {
    await using proxy = await startProxy({ target: etcd.endpoints[0]! });
    const alice = candidate('alice', { hosts: proxy.endpoint });
    const term = await alice.campaign();
    for (let round = 0; round < 5; round++) {
      proxy.reset();
      await sleep(200);
    }
    await eventually(async () => (await alice.election.leader())?.key === term.key, { withinMs: SOON_MS });
    expect(term.isCurrent()).toBe(true);
    await eventually(() => proxy.openConnections <= 1, { withinMs: SOON_MS });
  });
});

describe('many elections on one client', () => {
  test('a broken connection: all elections recover together, and Node reports no listener leak', async ({
    candidate,
    client,
    etcd,
    world,
  }) => {
    await using proxy = await startProxy({ target: etcd.endpoints[0]! });
    const warnings: Error[] = [];
    const warn = (warning: Error): void => void warnings.push(warning);
    process.on('warning', warn);
    onTestFinished(() => void process.off('warning', warn));
    const own = client({ hosts: proxy.endpoint });
    const names = Array.from({ length: 30 }, (_, i) => `shard-${i}`);
    const terms = await Promise.all(
      names.map((name) => candidate(name, { client: own, election: name }).campaign()),
    );

    proxy.reset();
    await eventually(() => world.log.of('watch.healed').length > 0, { withinMs: SOON_MS });
    await world.own.delete().key(terms[7]!.key).exec();

    await within(SOON_MS, 'the end of the term', abortOf(terms[7]!.signal));
    expect(terms.filter((term) => term.isCurrent())).toHaveLength(names.length - 1);
    expect(warnings).toEqual([]);
  });
});
