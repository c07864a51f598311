import { Etcd3 } from 'etcd3';
import {
  InvalidInputError,
  LeadershipLostError,
  OutcomeUnknownError,
  RefusedError,
  UnavailableError,
} from 'etcd-election';
import { startEtcd, startProxy, type EtcdCluster } from 'etcd-election/dev';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { eventually, within } from '../support/eventually.ts';
import { SOON_MS, test, TTL_SECONDS } from '../support/world.ts';

/** The limit of the call, plus time for a busy machine. */
const SETTLED_WITHIN_MS = 5_000 + SOON_MS;
const once = { exactlyOnce: true };

describe('a write with exactlyOnce', () => {
  test('S1: commits once, and its slot is not a candidate', async ({ world, candidate, prefix }) => {
    const alice = candidate('alice');
    const term = await alice.campaign();
    for (let round = 1; round <= 3; round++) {
      const answer = await term
        .txn(once)
        .then(world.own.put(`${prefix}state`).value(`${round}`), world.own.get(`${prefix}state`))
        .commit();
      expect(answer).toMatchObject({ succeeded: true, responses: [{}, {}] });
      expect(answer.responses[1]!.response_range.kvs[0]?.value.toString()).toBe(`${round}`);
    }
    expect((await world.own.getAll().prefix(`${prefix}state`).exec()).kvs[0]?.version).toBe('3');

    expect(await world.keys()).toEqual([term.key]);
    expect(await alice.election.candidates()).toHaveLength(1);
    const slots = (await world.own.getAll().prefix(`${prefix}.writes/e/`).exec()).kvs;
    expect(slots, 'one write at a time needs one slot').toHaveLength(1);
    expect(slots[0]!.lease).toBe(term.leaseId);
  });

  test("S1: the user's comparisons select one branch or the other", async ({ world, candidate, prefix }) => {
    const term = await candidate('alice').campaign();
    const step = (from: string, to: string) =>
      term
        .txn(once)
        .and(`${prefix}state`, 'Version', '==', from)
        .then(world.own.put(`${prefix}state`).value(to))
        .else(world.own.put(`${prefix}else`).value(to))
        .commit();
    expect(await step('0', 'first')).toMatchObject({ succeeded: true, responses: [{}] });
    expect(await step('0', 'second')).toMatchObject({ succeeded: false, responses: [{}] });
    expect(await world.own.get(`${prefix}state`).string()).toBe('first');
    expect(await world.own.get(`${prefix}else`).string()).toBe('second');
  });

  test('S1: after the term nothing is written, not even in the slot', async ({
    world,
    candidate,
    prefix,
  }) => {
    const term = await candidate('alice').campaign();
    await term.put(`${prefix}state`, 'first', once);
    const writes = [
      term.txn(once).then(world.own.put(`${prefix}state`).value('zombie')),
      term
        .txn(once)
        .and(`${prefix}x`, 'Version', '>', 0)
        .else(world.own.put(`${prefix}state`).value('zombie')),
    ];
    await world.own.delete().key(term.key).exec();
    const slots = () => world.own.getAll().prefix(`${prefix}.writes/`).strings();
    const before = await slots();
    for (const write of writes) await expect(write.commit()).rejects.toBeInstanceOf(LeadershipLostError);
    expect(await slots()).toEqual(before);
    expect(await world.own.get(`${prefix}state`).string()).toBe('first');
  });

  test('S1: many concurrent writes share the slots, and all commit', async ({ world, candidate, prefix }) => {
    const term = await candidate('alice').campaign();
    const MANY = 100;
    await Promise.all(
      Array.from({ length: MANY }, (_, index) => term.put(`${prefix}many/${index}`, 'x', once)),
    );
    expect(await world.own.getAll().prefix(`${prefix}many/`).keys()).toHaveLength(MANY);
    expect((await world.own.getAll().prefix(`${prefix}.writes/`).keys()).length).toBeLessThanOrEqual(8);
  });

  test('S1: successive terms under one lease use the same slots', async ({
    world,
    candidate,
    election,
    prefix,
    client,
  }) => {
    const shared = client();
    await election(shared, 'keeps-the-lease').campaign('x');
    const alice = candidate('alice', { client: shared });
    for (let round = 0; round < 3; round++) {
      const term = await alice.campaign();
      await term.put(`${prefix}state`, `${round}`, once);
      await alice.election.resign();
    }
    const { kvs } = await world.own.getAll().prefix(`${prefix}.writes/`).exec();
    expect(kvs).toMatchObject([{ version: '3' }]);
  });

  test.for(['then', 'else'] as const)(
    'S1: the answer is lost, and %s ran: commit() reports it',
    async (branch, { world, candidate, prefix, etcd }) => {
      await using proxy = await startProxy({ target: etcd.endpoints[0]! });
      const term = await candidate('alice', { hosts: proxy.endpoint }).campaign();
      await term.put(`${prefix}state`, 'before', once); // this opens the connection
      await world.own.put(`${prefix}other`).value('x');

      proxy.loseReplies();
      const commit = term
        .txn(once)
        .and(`${prefix}state`, 'Version', '==', branch === 'then' ? 1 : 9)
        .then(world.own.put(`${prefix}then`).value('once'))
        .else(world.own.put(`${prefix}else`).value('once'))
        .commit();
      await eventually(async () => (await world.own.get(`${prefix}${branch}`).string()) === 'once', {
        withinMs: SOON_MS,
      });
      await proxy.restore();

      const answer = await within(SETTLED_WITHIN_MS, 'the answer', commit);
      expect(answer).toMatchObject({ succeeded: branch === 'then', responses: [] });
      const [kv] = (await world.own.getAll().prefix(`${prefix}${branch}`).exec()).kvs;
      expect(kv).toMatchObject({ version: '1', mod_revision: answer.header.revision });
    },
  );

  test('S1: the answer is lost, and the next dial fails too: commit() dials again, and reports it', async ({
    world,
    candidate,
    prefix,
    etcd,
  }) => {
    await using proxy = await startProxy({ target: etcd.endpoints[0]! });
    // No renewal dials for us: the next one is due after the write must have ended.
    const term = await candidate('alice', { hosts: proxy.endpoint, ttlSeconds: 10 * TTL_SECONDS }).campaign();
    await term.put(`${prefix}warm`, 'x', once);

    proxy.loseReplies();
    const commit = term.put(`${prefix}state`, 'once', once);
    await eventually(() => proxy.bytesLost > 0, { withinMs: SOON_MS });
    const { connections } = proxy;
    proxy.resetAll();
    await eventually(() => proxy.connections > connections, { withinMs: SOON_MS });
    await proxy.restore();

    await within(SETTLED_WITHIN_MS, 'the outcome', commit);
    const [kv] = (await world.own.getAll().prefix(`${prefix}state`).exec()).kvs;
    expect(kv).toMatchObject({ version: '1' });
  });

  test('S1: writes that arrive late change nothing, and commit() reports that they did not happen', async ({
    world,
    candidate,
    prefix,
    etcd,
  }) => {
    await using slow = await startProxy({ target: etcd.endpoints[0]! });
    await using quick = await startProxy({ target: etcd.endpoints[0]! });
    const term = await candidate('alice', { hosts: [slow.endpoint, quick.endpoint] }).campaign();
    const warmUp = Array.from({ length: 40 }, () => term.put(`${prefix}warm`, 'x'));
    await Promise.all(warmUp); // these open both connections

    slow.stall('up');
    const WRITES = 20; // each one selects a host at random: one run in a million has none on the slow way
    const commits = Array.from({ length: WRITES }, (_, index) =>
      term.put(`${prefix}late/${index}`, 'x', once),
    );
    const outcomes = await within(SETTLED_WITHIN_MS, 'all outcomes', Promise.allSettled(commits));
    const stand = async () => (await world.own.getAll().prefix(`${prefix}late/`).keys()).length;
    const happened = outcomes.filter(({ status }) => status === 'fulfilled').length;
    for (const outcome of outcomes)
      if (outcome.status === 'rejected') expect(outcome.reason).toBeInstanceOf(UnavailableError);
    expect(await stand()).toBe(happened);
    expect(happened, 'some went the slow way').toBeLessThan(WRITES);

    // The delayed request now arrives first, on the same connection.
    slow.resume();
    const lastOnes = Array.from({ length: 40 }, () => term.put(`${prefix}warm`, 'y', once));
    await Promise.allSettled(lastOnes);
    expect(await stand()).toBe(happened);
  });

  test('S1: etcd stays unreachable: the outcome is unknown, and settle() learns it later', async ({
    world,
    candidate,
    prefix,
    etcd,
  }) => {
    await using proxy = await startProxy({ target: etcd.endpoints[0]! });
    const term = await candidate('alice', { hosts: proxy.endpoint, ttlSeconds: 4 * TTL_SECONDS }).campaign();
    await term.put(`${prefix}warm`, 'x', once);

    proxy.loseReplies();
    const error: unknown = await term.put(`${prefix}state`, 'once', once).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(OutcomeUnknownError);
    const { writeId, message } = error as OutcomeUnknownError;
    expect(message).toMatch(/term\.settle\(\).*before you write again/);
    await expect(term.settle(writeId!)).rejects.toMatchObject({
      code: 'ELECTION_UNAVAILABLE',
      retryable: true,
    });
    await proxy.restore();

    const settled = await eventually(() => term.settle(writeId!), { withinMs: SOON_MS });
    expect(settled).toEqual({ happened: true, succeeded: true });
    expect(await term.settle(writeId!), 'again').toEqual(settled);
    await term.put(`${prefix}state`, 'twice', once);
    expect((await world.own.getAll().prefix(`${prefix}state`).exec()).kvs[0]?.version).toBe('2');
    expect(await term.settle(writeId!), 'after the slot was used again').toEqual(settled);
  });

  test.for([
    ['the first write of a slot', 0],
    ['a later one', 1],
  ] as const)(
    'S1: the lease is gone, and the mark of %s with it: settle() does not guess',
    async ([, before], { world, candidate, prefix, etcd }) => {
      await using proxy = await startProxy({ target: etcd.endpoints[0]! });
      const term = await candidate('alice', { hosts: proxy.endpoint }).campaign();
      for (let round = 0; round < before; round++) await term.put(`${prefix}state`, 'x', once);
      proxy.loseReplies();
      const error: unknown = await term.put(`${prefix}state`, 'y', once).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(OutcomeUnknownError);
      await world.own.leaseClient.leaseRevoke({ ID: term.leaseId });
      await proxy.restore();

      const settled = (): Promise<unknown> =>
        term.settle((error as OutcomeUnknownError).writeId!).catch((reason: unknown) => reason);
      await eventually(async () => (await settled()) instanceof OutcomeUnknownError, { withinMs: SOON_MS });
      expect(await settled()).toMatchObject({ message: expect.stringMatching(/no longer be found out/) });
    },
  );

  test('an invalid option or write is refused by name', async ({ candidate }) => {
    const term = await candidate('alice').campaign();
    expect(() => term.txn({ exactlyonce: true } as never)).toThrow(/no option "exactlyonce"/);
    expect(() => term.txn({ exactlyOnce: 'yes' } as never)).toThrow(InvalidInputError);
    await expect(term.settle('nonsense')).rejects.toThrow(/expected the writeId.*"nonsense"/);
    await expect(term.settle(undefined as never)).rejects.toBeInstanceOf(InvalidInputError);
  });

  test('the name under which slots are stored is not allowed for an election', ({ election, client }) => {
    expect(() => election(client(), '.writes')).toThrow(/reserved/);
  });
});

describe('a role without access to the slots', () => {
  let cluster: EtcdCluster;
  beforeAll(async () => {
    cluster = await startEtcd();
    const open = new Etcd3({ hosts: cluster.endpoints });
    await open.user('root').create('secret');
    await open.role('root').create();
    await open.user('root').addRole('root');
    const service = open.role('service');
    await service.create();
    await service.grant({ permission: 'Readwrite', range: open.range({ prefix: 'mine/e/' }) });
    await service.grant({ permission: 'Read', range: open.range({ prefix: 'mine/.writes/' }) });
    await open.user('service').create('secret');
    await open.user('service').addRole('service');
    await open.auth.authEnable();
    open.close();
  });
  afterAll(async () => {
    await cluster.stop();
  });

  test('the first commit and then txn() refuse exactlyOnce; other writes continue', async ({
    candidate,
    client,
  }) => {
    const own = client({ hosts: cluster.endpoints, auth: { username: 'service', password: 'secret' } });
    const term = await candidate('alice', { client: own, prefix: 'mine/' }).campaign();
    const refused = term.txn(once).then(own.put('mine/e/of/state').value('x')).commit();
    await expect(refused).rejects.toBeInstanceOf(RefusedError);
    await expect(refused).rejects.toThrow(
      /exactlyOnce may not use mine\/\.writes\/e\/.*grant the user read and write access/s,
    );
    expect(() => term.txn(once)).toThrow(RefusedError);

    await term.put('mine/e/of/state', 'x');
    await expect(term.put('theirs', 'x')).rejects.toThrow(
      /grant the user write access to the keys of this transaction/,
    );
    expect(term.isCurrent()).toBe(true);
  });
});
