import { setTimeout as sleep } from 'node:timers/promises';
import { startProxy } from 'etcd-election/dev';
import { describe, expect } from 'vitest';
import { eventually, within } from '../support/eventually.ts';
import { abortOf, SOON_MS, test, type TestCandidate, type World } from '../support/world.ts';

const revoke = (world: World, leaseId: string): Promise<unknown> =>
  world.own.leaseClient.leaseRevoke({ ID: leaseId });

/** Two candidates; the first one leads. */
async function pair(alice: TestCandidate, bob: TestCandidate) {
  const term = await alice.campaign();
  void bob.campaign();
  await bob.queued();
  return term;
}

describe('taken away', () => {
  test('F3, S4: an operator deletes our key: the term ends at once', async ({
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
    await alice.queued(); // and enters again at the back
    expect(history.leaders()).toEqual(['alice', 'bob']);
  });

  test('S4: our key is deleted while we wait: we enter again at the back', async ({ candidate, world }) => {
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

  test("S4: the leader's key and ours are deleted together: we do not lead without a key", async ({
    candidate,
    world,
    history,
  }) => {
    const [alice, bob, carol] = [candidate('alice'), candidate('bob'), candidate('carol')];
    await pair(alice, bob);
    void carol.campaign();
    await carol.queued();
    const [first, second] = await world.keys();

    // One revision, and so one message. With two, each would be true when it arrives, and bob would lead in between.
    const etcd = world.own;
    await etcd
      .if(first!, 'Version', '>', 0)
      .then(etcd.delete().key(first!), etcd.delete().key(second!))
      .commit();

    const term = await carol.elected();
    // Both enter again behind carol, and neither has led meanwhile.
    await eventually(
      () => [2, 3].every((place) => [alice, bob].some(({ election }) => election.status.position === place)),
      { withinMs: SOON_MS },
    );
    expect((await world.keys())[0]).toBe(term.key);
    expect(history.leaders()).toEqual(['alice', 'carol']);
  });

  test('S4: our key is deleted and written again by another client: we do not lead under it', async ({
    candidate,
    world,
  }) => {
    const alice = candidate('alice');
    const term = await alice.campaign();
    const { ID } = await world.own.leaseClient.leaseGrant({ TTL: 60 });

    await world.own.delete().key(term.key).exec();
    await world.own.put(term.key).value('usurper').lease(ID).exec();

    await within(SOON_MS, 'the end of the term', abortOf(term.signal));
    await revoke(world, ID);
    expect((await alice.elected()).fencingToken).toBeGreaterThan(term.fencingToken);
  });

  test("S4: an operator's put removes the lease of our key: the term ends, and the election is not blocked", async ({
    candidate,
    world,
  }) => {
    const [alice, bob] = [candidate('alice'), candidate('bob')];
    const term = await pair(alice, bob);

    await world.own.put(term.key).value('edited by hand').exec(); // like `etcdctl put`: without the lease

    expect(await within(SOON_MS, 'the end of the term', abortOf(term.signal))).toMatchObject({
      reason: 'evicted',
    });
    const next = await bob.elected();
    await alice.queued();
    const { kvs } = await world.own.getAll().prefix(`${world.prefix}e/`).sort('Create', 'Ascend').exec();
    expect(kvs.map(({ key }) => key.toString())).toEqual([next.key, term.key]);
    expect(kvs.map(({ lease }) => lease)).not.toContain('0');
  });

  test('an operator revokes the lease: the term ends, and the next term has its own lease', async ({
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

  test('F1, S3: the lease expires while we wait: we enter again, and never lead without a key', async ({
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

  test('F4: a late release of an old leader does not delete the key of the next one', async ({
    candidate,
    world,
    etcd,
  }) => {
    await using proxy = await startProxy({ target: etcd.endpoints[0]! });
    const alice = candidate('alice', { hosts: proxy.endpoint });
    const term = await alice.campaign();
    const { ID } = await world.own.leaseClient.leaseGrant({ TTL: 60 });

    proxy.stall('down'); // she does not receive what follows
    await world.own.delete().key(term.key).exec();
    await world.own.put(term.key).value('the new leader').lease(ID).exec();
    const resigning = alice.election.resign();
    proxy.resume();
    await within(2 * SOON_MS, 'resign()', resigning);

    expect(await world.own.get(term.key).string()).toBe('the new leader');
    await revoke(world, ID);
  });
});

describe('F15: etcd may grant another TTL than requested', () => {
  test('we ask for 1 s, etcd grants 2 s: the deadline uses 2 s', async ({ candidate, log, world }) => {
    const begunAtMs = performance.now();
    const alice = candidate('alice', { ttlSeconds: 1 });
    const term = await alice.campaign();
    const deadlineMs = performance.now() - begunAtMs + term.remainingMs();
    const granted = Number(
      (await world.own.leaseClient.leaseTimeToLive({ ID: term.leaseId, keys: false })).grantedTTL,
    );
    expect(granted).toBe(2);
    expect(log.of('session.opened')[0]).toMatchObject({ askedTtlSeconds: 1, grantedTtlSeconds: 2 });
    expect(deadlineMs).toBeGreaterThan(1_000);
    expect(term.remainingMs()).toBeLessThanOrEqual(2_000 - 100);
    // A term lasts longer than either limit. A machine that stalls for a second may cost one, but not each.
    await eventually(
      async () => {
        const kept = await alice.elected();
        await sleep(2_500);
        return kept.isCurrent();
      },
      { withinMs: 4 * 2_500 },
    );
  });
});

describe('F20, L3: it campaigns again after any loss', () => {
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
