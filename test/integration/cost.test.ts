import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { setTimeout as sleep } from 'node:timers/promises';
import { Etcd3 } from 'etcd3';
import type { Term } from 'etcd-election';
import { type EtcdCluster, startEtcd } from 'etcd-election/dev';
import { afterAll, beforeAll, describe, expect, onTestFinished } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { RecordedLog } from '../support/recorded-log.ts';
import { SOON_MS, test, type World } from '../support/world.ts';

// What it costs is counted where it arrives: by an etcd of our own that nobody else asks.

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

/** Calls that etcd has seen so far, as its own metrics count them. */
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

/** Messages in each direction, of whatever kind. */
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

/** Exactly that: it comes to so much, and a round trip later it is no more. */
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
/** A lease so long that no renewal falls into what is counted. */
const NO_RENEWAL = { ttlSeconds: 300 };

/** As docs/design.md says, in its table of costs. */
const IN_ONE_TRANSACTION = 64;

/** For so many entries of one turn: the first goes alone. */
const transactionsFor = (entries: number): number => 1 + Math.ceil((entries - 1) / IN_ONE_TRANSACTION);

const onOwnEtcd = (world: World): Etcd3 => world.client({ hosts: cluster.endpoints });

describe('what it costs', () => {
  test('C2: entering costs one transaction; the first election of a client a lease and two streams besides', async ({
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

  test('C3, L1: a handover costs the one transaction of who resigns; the winner and the others ask nothing', async ({
    world,
    candidate,
  }) => {
    // bob and carol stand for a second election too, so that no lease is given back.
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

  test('C2: 100 elections that leave together need few transactions, and one revocation', async ({
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

  test('F17, C1, C4: 1,000 elections in one process: one lease, one keep-alive and one read each third of the TTL, nothing else', async ({
    world,
    election,
  }) => {
    const client = onOwnEtcd(world);
    const count = 1_000;
    const ttlSeconds = 15; // a thousand entries take a busy machine some seconds
    const { logger } = new RecordedLog('error'); // a thousand recorded logs would be what costs most here
    const elections = Array.from({ length: count }, (_, i) =>
      election(client, `shard-${i}`, { ttlSeconds, logger }),
    );
    let renewed = 0;
    const hear = (): void => void renewed++;
    subscribe('etcd-election:session.renewed', hear);
    onTestFinished(() => void unsubscribe('etcd-election:session.renewed', hear));

    const entering = await costOf(() => Promise.all(elections.map((one) => one.campaign('10.0.0.7'))));
    expect(entering).toMatchObject({ grant: 1, keepAliveStreams: 1, watchStreams: 1 });
    expect(entering.range).toBeLessThanOrEqual(entering.keepAlives); // they confirm renewals
    expect(entering.txn).toBeGreaterThanOrEqual(count / IN_ONE_TRANSACTION);
    expect(entering.txn).toBeLessThanOrEqual(2 * transactionsFor(count)); // a busy machine may leave some unanswered
    const { leases } = await world.client({ hosts: cluster.endpoints }).leaseClient.leaseLeases();
    expect(leases).toHaveLength(1);

    const renewals = 1;
    const from = renewed;
    const idle = await costOf(() =>
      eventually(() => renewed >= from + renewals, { withinMs: ttlSeconds * 1_000 }),
    );
    expect(idle.keepAlives).toBeLessThanOrEqual(renewals + 1);
    expect(Math.abs(idle.range - idle.keepAlives)).toBeLessThanOrEqual(1); // a renewal may be under way at either end
    expect(idle).toEqual({ ...NOTHING, keepAlives: idle.keepAlives, range: idle.range });
    expect(elections.every((one) => one.status.term?.isCurrent())).toBe(true);
  });

  test('C1: an idle election sends three messages each third of the TTL, and gets three', async ({
    world,
    candidate,
  }) => {
    const ttlSeconds = 3;
    const thirdMs = (ttlSeconds * 1_000) / 3;
    await candidate('alice', { client: onOwnEtcd(world), election: 'idle', ttlSeconds }).campaign();
    await sleep(thirdMs); // past what its start costs
    const [before, sinceMs] = [await messages(), performance.now()];
    await sleep(6 * thirdMs);
    const [after, tookMs] = [await messages(), performance.now() - sinceMs];
    const most = 3 * (tookMs / thirdMs + 1); // at either end a third may be under way
    expect(after.toEtcd - before.toEtcd).toBeLessThanOrEqual(most);
    expect(after.fromEtcd - before.fromEtcd).toBeLessThanOrEqual(most);
    expect(after.toEtcd - before.toEtcd).toBeGreaterThan(most / 2);
  });

  test('C1: elections of another TTL have a lease of their own, and the same watch stream', async ({
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

  test('the last to leave gives the lease back, once', async ({ world, candidate }) => {
    const client = onOwnEtcd(world);
    const all = ['a', 'b', 'c'].map((name) => candidate('alice', { client, election: name, ...NO_RENEWAL }));
    for (const one of all) await one.campaign();
    const { revoke } = await costOf(() => Promise.all(all.map(({ election }) => election.close())));
    expect(revoke).toBe(1);
    const { leases } = await world.client({ hosts: cluster.endpoints }).leaseClient.leaseLeases();
    expect(leases).toEqual([]);
  });

  test('C1: who only observes reads once each third of the TTL', async ({ world, election }) => {
    const client = onOwnEtcd(world);
    const iterator = election(client, 'seen', { ttlSeconds: 2 }).observe();
    expect((await iterator.next()).value).toBeUndefined();
    const turns = 3;
    const { range, grant, watchStreams } = await costOf(() => sleep((turns * 2_000) / 3));
    void iterator.return(undefined);
    expect(range).toBeGreaterThanOrEqual(turns - 1);
    expect(range).toBeLessThanOrEqual(turns + 1);
    expect({ grant, watchStreams }).toEqual({ grant: 0, watchStreams: 0 });
  });

  test('observers share the watch stream, and need no lease', async ({ world, election }) => {
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
