import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { setTimeout as sleep } from 'node:timers/promises';
import { Etcd3 } from 'etcd3';
import type { Term } from 'etcd-election';
import { type EtcdCluster, startEtcd } from 'etcd-election/dev';
import { afterAll, beforeAll, describe, expect, onTestFinished } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { RecordedLog } from '../support/recorded-log.ts';
import { SOON_MS, test, TTL_SECONDS, type World } from '../support/world.ts';

// The costs are counted on arrival, by an etcd that only this test uses.

let cluster: EtcdCluster;
beforeAll(async () => {
  cluster = await startEtcd();
});
afterAll(() => cluster.stop());

type Counts = Record<
  'txn' | 'range' | 'put' | 'grant' | 'revoke' | 'keepAliveStreams' | 'keepAlives' | 'watchStreams',
  number
>;

const counters: Record<keyof Counts, [metric: string, method: string]> = {
  txn: ['grpc_server_started_total', 'Txn'],
  range: ['grpc_server_started_total', 'Range'],
  put: ['grpc_server_started_total', 'Put'],
  grant: ['grpc_server_started_total', 'LeaseGrant'],
  revoke: ['grpc_server_started_total', 'LeaseRevoke'],
  keepAliveStreams: ['grpc_server_started_total', 'LeaseKeepAlive'],
  keepAlives: ['grpc_server_msg_received_total', 'LeaseKeepAlive'],
  watchStreams: ['grpc_server_started_total', 'Watch'],
};

/** Calls that etcd has seen so far, from its own metrics. */
async function calls(): Promise<Counts> {
  const of = await metrics();
  return Object.fromEntries(
    Object.entries(counters).map(([name, [metric, method]]) => [name, of(metric, method)]),
  ) as Counts;
}

/** @returns the present value of a metric of one method. */
async function metrics(): Promise<(metric: string, method: string) => number> {
  const lines = (await (await fetch(`${cluster.endpoints[0]}/metrics`)).text()).split('\n');
  return (metric, method) => {
    const line = lines.find((one) => one.startsWith(`${metric}{`) && one.includes(`grpc_method="${method}"`));
    return Number(line?.split(' ').at(-1) ?? 0);
  };
}

/** Messages in each direction, of any kind. */
async function messages(): Promise<{ toEtcd: number; fromEtcd: number }> {
  const of = await metrics();
  const methods = ['LeaseKeepAlive', 'Range', 'Watch', 'Txn', 'Put', 'LeaseGrant', 'LeaseRevoke'];
  const sum = (metric: string): number => methods.reduce((total, method) => total + of(metric, method), 0);
  return { toEtcd: sum('grpc_server_msg_received_total'), fromEtcd: sum('grpc_server_msg_sent_total') };
}

async function costOf(acts: () => Promise<unknown>): Promise<Counts> {
  const before = await calls();
  await acts();
  const after = await calls();
  return Object.fromEntries(
    (Object.keys(after) as (keyof Counts)[]).map((name) => [name, after[name] - before[name]]),
  ) as Counts;
}

/** Expects exactly this cost. After a further round trip it must still be the same. */
async function expectCost(acts: () => Promise<unknown>, expected: Counts): Promise<void> {
  const before = await calls();
  await acts();
  const cost = async (): Promise<Counts> => {
    const now = await calls();
    return Object.fromEntries(
      (Object.keys(now) as (keyof Counts)[]).map((name) => [name, now[name] - before[name]]),
    ) as Counts;
  };
  await eventually(async () => expect(await cost()).toEqual(expected), { withinMs: SOON_MS });
  expect(await cost()).toEqual(expected);
}

const NOTHING: Counts = {
  txn: 0,
  range: 0,
  put: 0,
  grant: 0,
  revoke: 0,
  keepAliveStreams: 0,
  keepAlives: 0,
  watchStreams: 0,
};
/** The lease is so long that no renewal falls into the counted time. */
const NO_RENEWAL = { ttlSeconds: 300 };

/** From the table of costs in docs/design.md. */
const IN_ONE_TRANSACTION = 64;

/** For this many entries of one turn: the first one goes alone. */
const transactionsFor = (entries: number): number => 1 + Math.ceil((entries - 1) / IN_ONE_TRANSACTION);

const onOwnEtcd = (world: World): Etcd3 => world.client({ hosts: cluster.endpoints });

describe('the cost of elections', () => {
  test('C2: an entry costs one transaction; the first election of a client also a lease and two streams', async ({
    world,
    candidate,
  }) => {
    const client = onOwnEtcd(world);
    await expectCost(() => candidate('alice', { client, election: 'first', ...NO_RENEWAL }).campaign(), {
      ...NOTHING,
      txn: 1,
      grant: 1,
      keepAliveStreams: 1,
      watchStreams: 1,
    });
    await expectCost(() => candidate('alice', { client, election: 'second', ...NO_RENEWAL }).campaign(), {
      ...NOTHING,
      txn: 1,
    });
  });

  test('C3, L1: a hand-over costs one transaction of the old leader, and no request of the others', async ({
    world,
    candidate,
  }) => {
    // bob and carol also take part in a second election, so that no lease is revoked.
    const [alice, bob, carol] = ['alice', 'bob', 'carol'].map((who) =>
      candidate(who, { hosts: cluster.endpoints, ...NO_RENEWAL }),
    ) as [ReturnType<typeof candidate>, ReturnType<typeof candidate>, ReturnType<typeof candidate>];
    for (const one of [alice, bob, carol]) {
      void one.campaign();
      await one.queued();
    }
    await candidate('alice', { client: alice.client, election: 'another', ...NO_RENEWAL }).campaign();
    await alice.elected();

    await expectCost(
      async () => {
        await alice.election.resign();
        await bob.elected();
        await eventually(() => carol.election.status.position === 2, { withinMs: SOON_MS });
      },
      { ...NOTHING, txn: 1 },
    );
    expect(world.history.leaders().filter((who) => who !== 'alice')).toEqual(['bob']);
  });

  test('C1: 100 elections on one client have one lease, one keep-alive stream and one watch stream', async ({
    world,
    candidate,
  }) => {
    const client = onOwnEtcd(world);
    const [oneByOne, atOnce] = [2, 98];
    const { txn, ...others } = await costOf(async () => {
      const stand = (i: number): Promise<Term> =>
        candidate(`${i}`, { client, election: `shard-${i}`, ...NO_RENEWAL }).campaign();
      const terms = [await stand(0), await stand(1)];
      terms.push(...(await Promise.all(Array.from({ length: atOnce }, (_, i) => stand(i + oneByOne)))));
      expect(new Set(terms.map(({ leaseId }) => leaseId)).size).toBe(1);
    });
    expect({ ...others, txn: 0 }).toEqual({ ...NOTHING, grant: 1, keepAliveStreams: 1, watchStreams: 1 });
    expect(txn).toBeGreaterThanOrEqual(oneByOne + atOnce / IN_ONE_TRANSACTION);
    expect(txn).toBeLessThanOrEqual(oneByOne + 2 * transactionsFor(atOnce));
  });

  test('C2: 100 elections that leave together need a few transactions and one revocation', async ({
    world,
    candidate,
  }) => {
    const client = onOwnEtcd(world);
    const count = 100;
    const all = Array.from({ length: count }, (_, i) =>
      candidate(`${i}`, { client, election: `shard-${i}`, ...NO_RENEWAL }),
    );
    await Promise.all(all.map((one) => one.campaign()));
    const { txn, revoke } = await costOf(() => Promise.all(all.map(({ election }) => election.close())));
    expect(revoke).toBe(1);
    expect(txn).toBeLessThanOrEqual(2 * transactionsFor(count));
  });

  test('F17, C1, C4: 1,000 elections in a process: one lease, one keep-alive and one read per third of TTL', async ({
    world,
    election,
  }) => {
    const client = onOwnEtcd(world);
    const count = 1_000;
    const ttlSeconds = 15; // a thousand entries take some seconds on a busy machine
    const { logger } = new RecordedLog('error'); // recording a thousand logs would be the largest cost here
    const elections = Array.from({ length: count }, (_, i) =>
      election(client, `shard-${i}`, { ttlSeconds, logger }),
    );
    let renewed = 0;
    const hear = (): void => void renewed++;
    subscribe('etcd-election:session.renewed', hear);
    onTestFinished(() => void unsubscribe('etcd-election:session.renewed', hear));

    const entering = await costOf(() => Promise.all(elections.map((one) => one.campaign('10.0.0.7'))));
    expect(entering).toMatchObject({ grant: 1, keepAliveStreams: 1, watchStreams: 1 });
    expect(entering.range).toBeLessThanOrEqual(entering.keepAlives); // these reads confirm renewals
    expect(entering.txn).toBeGreaterThanOrEqual(count / IN_ONE_TRANSACTION);
    expect(entering.txn).toBeLessThanOrEqual(2 * transactionsFor(count)); // on a busy machine some may be unanswered and repeated
    const { leases } = await world.client({ hosts: cluster.endpoints }).leaseClient.leaseLeases();
    expect(leases).toHaveLength(1);

    const renewals = 1;
    const from = renewed;
    const idle = await costOf(() =>
      eventually(() => renewed >= from + renewals, { withinMs: ttlSeconds * 1_000 }),
    );
    expect(idle.keepAlives).toBeLessThanOrEqual(renewals + 1);
    expect(Math.abs(idle.range - idle.keepAlives)).toBeLessThanOrEqual(1); // a renewal may be in flight at either end
    expect(idle).toEqual({ ...NOTHING, keepAlives: idle.keepAlives, range: idle.range });
    expect(elections.every((one) => one.status.term?.isCurrent())).toBe(true);
  });

  test('C1: an idle election sends three messages per third of the TTL, and receives three', async ({
    world,
    candidate,
  }) => {
    const ttlSeconds = 3;
    const thirdMs = (ttlSeconds * 1_000) / 3;
    await candidate('alice', { client: onOwnEtcd(world), election: 'idle', ttlSeconds }).campaign();
    await sleep(thirdMs); // after the costs of its start
    const [before, sinceMs] = [await messages(), performance.now()];
    await sleep(6 * thirdMs);
    const sent = async (): Promise<number> => (await messages()).toEtcd - before.toEtcd;
    await eventually(async () => expect(await sent()).toBeGreaterThan(3 * 3), { withinMs: SOON_MS });
    const [after, tookMs] = [await messages(), performance.now() - sinceMs];
    const most = 3 * (tookMs / thirdMs + 1); // at either end a third of the TTL may be incomplete
    expect(after.toEtcd - before.toEtcd).toBeLessThanOrEqual(most);
    expect(after.fromEtcd - before.fromEtcd).toBeLessThanOrEqual(most);
  });

  test('C1: elections with another TTL have their own lease, and the same watch stream', async ({
    world,
    candidate,
  }) => {
    const client = onOwnEtcd(world);
    await expectCost(
      async () => {
        const one = await candidate('alice', { client, election: 'a', ttlSeconds: 300 }).campaign();
        const other = await candidate('alice', { client, election: 'b', ttlSeconds: 200 }).campaign();
        expect(one.leaseId).not.toBe(other.leaseId);
      },
      { ...NOTHING, txn: 2, grant: 2, keepAliveStreams: 2, watchStreams: 1 },
    );
  });

  test('the last election to leave revokes the lease once', async ({ world, candidate }) => {
    const client = onOwnEtcd(world);
    const all = ['a', 'b', 'c'].map((name) => candidate('alice', { client, election: name, ...NO_RENEWAL }));
    for (const one of all) await one.campaign();
    const { revoke } = await costOf(() => Promise.all(all.map(({ election }) => election.close())));
    expect(revoke).toBe(1);
    const { leases } = await world.client({ hosts: cluster.endpoints }).leaseClient.leaseLeases();
    expect(leases).toEqual([]);
  });

  test('C1: an observer reads once per third of the TTL', async ({ world, election }) => {
    const client = onOwnEtcd(world);
    const thirdMs = (TTL_SECONDS * 1_000) / 3; // the watch has as long to answer a probe
    const iterator = election(client, 'seen', { ttlSeconds: TTL_SECONDS }).observe();
    expect((await iterator.next()).value).toBeUndefined();
    const turns = 2;
    const before = await calls();
    const sinceMs = performance.now();
    const { range, grant, watchStreams } = await costOf(() =>
      eventually(async () => (await calls()).range >= before.range + turns, {
        withinMs: 3 * thirdMs + SOON_MS,
      }),
    );
    void iterator.return(undefined);
    expect(range).toBeLessThanOrEqual((performance.now() - sinceMs) / thirdMs + 1);
    expect({ grant, watchStreams }).toEqual({ grant: 0, watchStreams: 0 });
  });

  test('observers share the watch stream and need no lease', async ({ world, election }) => {
    const client = onOwnEtcd(world);
    const cost = await costOf(async () => {
      for (const name of ['a', 'b', 'c']) {
        const iterator = election(client, name).observe();
        expect((await iterator.next()).value).toBeUndefined();
        void iterator.return(undefined);
      }
    });
    expect(cost).toMatchObject({ grant: 0, keepAliveStreams: 0, txn: 0, range: 3 });
    expect(cost.watchStreams).toBeLessThanOrEqual(3);
  });
});
