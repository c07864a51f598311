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
  type World,
} from '../support/world.ts';

/** What L5 promises after an outage, in milliseconds. */
const AFTER_OUTAGE_MS = 3_000;

const revoke = (world: World, leaseId: string): Promise<unknown> =>
  world.own.leaseClient.leaseRevoke({ ID: leaseId });

/** Two candidates, the first of which leads. */
async function pair(alice: TestCandidate, bob: TestCandidate) {
  const term = await alice.campaign();
  void bob.campaign();
  await bob.queued();
  return term;
}

describe('taken away', () => {
  test('F3, S4: our key deleted by an operator ends the term at once', async ({
    candidate,
    world,
    history,
  }) => {
    const [alice, bob] = [candidate('alice'), candidate('bob')];
    const term = await pair(alice, bob);

    await world.own.delete().key(term.key).exec();

    expect(await within(SOON_MS, 'the end of the term', abortOf(term.signal))).toMatchObject({
      reason: 'evicted',
    });
    await bob.elected();
    expect(bob.election.status.term!.fencingToken).toBeGreaterThan(term.fencingToken);
    await alice.queued(); // and stands again, behind
    expect(history.leaders()).toEqual(['alice', 'bob']);
  });

  test('S4: our key deleted while we wait: we stand again at the back', async ({ candidate, world }) => {
    const [alice, bob, carol] = [candidate('alice'), candidate('bob'), candidate('carol')];
    await pair(alice, bob);
    void carol.campaign();
    await carol.queued();
    const [, second] = await world.keys();

    await world.own.delete().key(second!).exec();

    await eventually(() => bob.election.status.position === 3, { withinMs: SOON_MS });
    await alice.election.resign();
    await carol.elected();
  });

  test('S4: the leader`s key and ours deleted in one go: we do not lead without a key', async ({
    candidate,
    world,
    history,
  }) => {
    const [alice, bob, carol] = [candidate('alice'), candidate('bob'), candidate('carol')];
    await pair(alice, bob);
    void carol.campaign();
    await carol.queued();
    const [first, second] = await world.keys();

    // One revision, so one message: two would each be true when they come, and bob would lead between them.
    const etcd = world.own;
    await etcd
      .if(first!, 'Version', '>', 0)
      .then(etcd.delete().key(first!), etcd.delete().key(second!))
      .commit();

    const term = await carol.elected();
    // Each stands again behind carol, and neither has led meanwhile.
    await eventually(
      () => [2, 3].every((place) => [alice, bob].some(({ election }) => election.status.position === place)),
      { withinMs: SOON_MS },
    );
    expect((await world.keys())[0]).toBe(term.key);
    expect(history.leaders()).toEqual(['alice', 'carol']);
  });

  test('S4: our key deleted and put anew by somebody else is not ours', async ({ candidate, world }) => {
    const alice = candidate('alice');
    const term = await alice.campaign();
    const { ID } = await world.own.leaseClient.leaseGrant({ TTL: 60 });

    await world.own.delete().key(term.key).exec();
    await world.own.put(term.key).value('usurper').lease(ID).exec();

    await within(SOON_MS, 'the end of the term', abortOf(term.signal));
    await revoke(world, ID);
    expect((await alice.elected()).fencingToken).toBeGreaterThan(term.fencingToken);
  });

  test('S4: our key taken off its lease by an operator`s put: the term ends, and the key does not block the election for ever', async ({
    candidate,
    world,
  }) => {
    const [alice, bob] = [candidate('alice'), candidate('bob')];
    const term = await pair(alice, bob);

    await world.own.put(term.key).value('edited by hand').exec(); // as `etcdctl put` does: without the lease

    expect(await within(SOON_MS, 'the end of the term', abortOf(term.signal))).toMatchObject({
      reason: 'evicted',
    });
    const next = await bob.elected();
    await alice.queued();
    const { kvs } = await world.own.getAll().prefix(`${world.prefix}e/`).sort('Create', 'Ascend').exec();
    expect(kvs.map(({ key }) => key.toString())).toEqual([next.key, term.key]);
    expect(kvs.map(({ lease }) => lease)).not.toContain('0');
  });

  test('the lease revoked by an operator: the term ends, and the next one has a lease of its own', async ({
    candidate,
    world,
  }) => {
    const alice = candidate('alice');
    const term = await alice.campaign();
    await revoke(world, term.leaseId);
    await within(SOON_MS, 'the end of the term', abortOf(term.signal));
    const next = await alice.elected();
    expect(next.leaseId).not.toBe(term.leaseId);
    expect(next.fencingToken).toBeGreaterThan(term.fencingToken);
    expect(await world.keys()).toEqual([next.key]);
  });

  test('F1, S3: the lease dies while we wait: never a leader without a key, and a new place in the queue', async ({
    candidate,
    world,
  }) => {
    const [alice, bob] = [candidate('alice'), candidate('bob')];
    await pair(alice, bob);
    const [, place] = await bob.election.candidates();

    await revoke(world, place!.leaseId);
    await alice.election.resign();

    const term = await bob.elected();
    expect(term.leaseId).not.toBe(place!.leaseId);
    expect(term.fencingToken).toBeGreaterThan(place!.fencingToken);
    expect(await world.keys()).toEqual([term.key]);
  });

  test('F4: an old leader`s late release does not remove a key that is no longer his', async ({
    candidate,
    world,
    etcd,
  }) => {
    await using proxy = await startProxy({ target: etcd.endpoints[0]! });
    const alice = candidate('alice', { hosts: proxy.endpoint });
    const term = await alice.campaign();
    const { ID } = await world.own.leaseClient.leaseGrant({ TTL: 60 });

    proxy.stall('down'); // she does not hear of what follows
    await world.own.delete().key(term.key).exec();
    await world.own.put(term.key).value('the new leader').lease(ID).exec();
    const resigning = alice.election.resign();
    proxy.resume();
    await within(2 * SOON_MS, 'resign()', resigning);

    expect(await world.own.get(term.key).string()).toBe('the new leader');
    await revoke(world, ID);
  });
});

describe('cut off', () => {
  const ttlSeconds = SHORT_TTL_SECONDS;

  test('S2, F4: a leader that etcd no longer hears stops before the next one starts; what it sent arrives late, and harms nobody', async ({
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

  test('F16: a drain that outlives the lease: the next one leads meanwhile, and nobody is told of a clean release', async ({
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

  test('F8, S2: a leader whose event loop is blocked past the TTL knows it before it does anything', async ({
    candidate,
    history,
  }) => {
    const alice = candidate('alice', { ttlSeconds });
    const term = await alice.campaign();
    const until = performance.now() + ttlSeconds * 1_000;
    while (performance.now() < until); // blocked: no timer runs
    expect(term.isCurrent()).toBe(false);
    expect(term.remainingMs()).toBe(0);
    expect(() => term.assertCurrent()).toThrow('deadline-passed');
    await expect(term.txn().commit()).rejects.toMatchObject({ code: 'ELECTION_LEADERSHIP_LOST' });
    const next = await alice.elected(ttlSeconds * 1_000 + SOON_MS);
    expect(next.fencingToken).toBeGreaterThan(term.fencingToken);
    expect(history.leadersAtOnce()).toBe(1);
  });

  test('F2: compaction while a candidate is away: it keeps its place, and leads when its turn comes', async ({
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
    expect(await world.keys()).toEqual(before.slice(0, 2)); // no key left behind, none doubled

    await alice.election.resign();
    await bob.elected(TTL_SECONDS * 1_000);
    expect(history.leaders()).toEqual(['alice', 'bob']);
  });

  test('F2: the leader resigns, and all is compacted, while the next one is away: it leads on its return', async ({
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

  test('L5: resign() while etcd is out of reach: the key that is left does not delay the next term', async ({
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

    const backAtMs = performance.now();
    await alice.campaign();
    expect(performance.now() - backAtMs).toBeLessThan(AFTER_OUTAGE_MS);
  });

  test('a connection that is reset time and again costs neither the term nor more than one at a time', async ({
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
  test('a broken connection: all heal, in one go, and Node warns of no leak', async ({
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

describe('F15: etcd may grant more than is asked', () => {
  test('asked for 1 s, it grants 2 s: and 2 s are what counts', async ({ candidate, log, world }) => {
    const alice = candidate('alice', { ttlSeconds: 1 });
    const term = await alice.campaign();
    const granted = Number(
      (await world.own.leaseClient.leaseTimeToLive({ ID: term.leaseId, keys: false })).grantedTTL,
    );
    expect(granted).toBe(2);
    expect(log.of('session.opened')[0]).toMatchObject({ askedTtlSeconds: 1, grantedTtlSeconds: 2 });
    expect(term.remainingMs()).toBeGreaterThan(1_000);
    expect(term.remainingMs()).toBeLessThanOrEqual(2_000 - 100);
    await sleep(2_500); // more than either
    expect(term.isCurrent()).toBe(true);
  });
});

describe('F20, L3: after any loss it contends again', () => {
  const losses: Record<string, (alice: TestCandidate, world: World) => Promise<unknown>> = {
    evicted: async (alice, world) => await world.own.delete().key(alice.election.status.term!.key).exec(),
    'lease-lost': (alice, world) => revoke(world, alice.election.status.term!.leaseId),
    'stepped-down': (alice) => alice.election.stepDown(),
    'no-progress': async (alice) => await abortOf(alice.election.status.term!.signal),
  };
  test.for(Object.keys(losses))('%s', async (loss, { candidate, world, history }) => {
    const alice = candidate('alice', {
      ...(loss === 'no-progress' && { progressTimeoutMs: 150 }),
      guard: { burst: 20 },
    });
    await alice.campaign();
    const tokens: bigint[] = [];
    for (let round = 0; round < 3; round++) {
      const term = await alice.elected();
      tokens.push(term.fencingToken);
      await losses[loss]!(alice, world);
      await within(SOON_MS, 'the end of the term', abortOf(term.signal));
    }
    tokens.push((await alice.elected()).fencingToken);
    expect(tokens).toEqual([...new Set(tokens)].sort((a, b) => Number(a - b)));
    history.assertTurns('alice');
    expect(history.leadersAtOnce()).toBe(1);
  });
});
