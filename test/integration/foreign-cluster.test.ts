// A list of hosts contains one of another etcd cluster, such as a replaced member that started alone, or a staging
// host. Both clusters answer, and issue the same fencing tokens.
import { startEtcd, type EtcdCluster } from 'etcd-election/dev';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { startSwitchboard } from '../support/switchboard.ts';
import { SHORT_TTL_SECONDS, SOON_MS, test, type World } from '../support/world.ts';

/** How often a host that has not named its cluster is asked again, in milliseconds. */
const PROBE_EVERY_MS = 5_000;

let foreign: EtcdCluster;
beforeAll(async () => void (foreign = await startEtcd()));
afterAll(() => foreign[Symbol.asyncDispose]());

const clusterIdOf = async (world: World, hosts: string): Promise<string> =>
  (await world.client({ hosts }).maintenance.status()).header.cluster_id;

const keysIn = async (world: World, hosts: string): Promise<number> =>
  (await world.client({ hosts }).getAll().prefix(world.prefix).exec()).kvs.length;

describe('a host of another cluster among the hosts', () => {
  test('S1, S3: one leader at most; the log names the host and both clusters; nothing is written there', async ({
    candidate,
    world,
    log,
    history,
  }) => {
    const [ours] = world.etcd.endpoints;
    await using second = await startSwitchboard(ours!);
    const alice = candidate('alice', { hosts: ours! });
    await alice.campaign();
    const followers = Array.from({ length: 4 }, (_, index) =>
      candidate(`bob${index}`, { hosts: [ours!, second.endpoint, foreign.endpoints[0]!] }),
    );
    for (const bob of followers) void bob.campaign().catch(() => undefined);
    for (const bob of followers) await bob.queued();

    expect(history.leadersAtOnce()).toBe(1);
    expect(await world.keys()).toHaveLength(1 + followers.length);
    const [ourId, otherId] = [
      await clusterIdOf(world, ours!),
      await clusterIdOf(world, foreign.endpoints[0]!),
    ];
    await eventually(
      async () => {
        await followers[0]!.election.leader(); // calls make the client probe the hosts
        return log.of('host.foreign').length > 0;
      },
      { withinMs: 4 * PROBE_EVERY_MS }, // a stalled machine may cost a probe its answer
    );
    expect(log.of('host.foreign')[0]).toMatchObject({
      host: foreign.endpoints[0],
      clusterId: otherId,
      ourClusterId: ourId,
    });

    await alice.election.resign();
    await eventually(() => followers.some(({ election }) => election.status.term?.isCurrent()), {
      withinMs: SOON_MS,
    });
    const leader = followers.find(({ election }) => election.status.term?.isCurrent())!;
    const { term } = leader.election.status;
    for (let write = 0; write < 30; write++)
      await term!
        .txn()
        .then(leader.client.put(`${world.prefix}log`).value(write))
        .commit();
    expect(history.leadersAtOnce()).toBe(1);
    expect(await keysIn(world, foreign.endpoints[0]!)).toBe(0);
  });

  test('S1: without a majority cluster among the hosts nobody leads, and the log gives the reason', async ({
    candidate,
    world,
    log,
  }) => {
    const alice = candidate('alice', { hosts: [world.etcd.endpoints[0]!, foreign.endpoints[0]!] });
    void alice.campaign().catch(() => undefined);
    await eventually(() => log.of('host.foreign').length === 2, { withinMs: 4 * PROBE_EVERY_MS });
    for (const line of log.of('host.foreign')) expect(line.msg).toContain('no replica can lead');
    await expect(alice.election.leader()).rejects.toThrow(/different etcd clusters/);
    expect(alice.election.status.term).toBeUndefined();
  });
});

test('`term.started` distinguishes replicas on different etcd clusters, even with equal tokens', async ({
  candidate,
  world,
  log,
}) => {
  const hosts = [world.etcd.endpoints[0]!, foreign.endpoints[0]!];
  for (const host of hosts) await candidate(host, { hosts: host }).campaign();
  const ids = await Promise.all(hosts.map((host) => clusterIdOf(world, host)));
  expect(log.of('term.started').map((line) => line['clusterId'])).toEqual(ids);
  expect(new Set(ids).size).toBe(2);
});

describe('an address that now leads to another cluster', () => {
  test('S2, L5: its renewals do not count; after all hosts have moved, elections continue there, with a log line', async ({
    candidate,
    world,
    log,
  }) => {
    await using host = await startSwitchboard(world.etcd.endpoints[0]!);
    const alice = candidate('alice', { hosts: host.endpoint, ttlSeconds: SHORT_TTL_SECONDS });
    const first = await alice.campaign();

    host.to(foreign.endpoints[0]!);
    await eventually(() => !first.isCurrent(), { withinMs: SOON_MS });
    expect(await keysIn(world, foreign.endpoints[0]!)).toBe(0);

    await alice.elected(4 * PROBE_EVERY_MS); // a stalled machine may cost a probe its answer
    expect(log.of('host.foreign')).not.toHaveLength(0);
    expect(log.of('cluster.changed')).toHaveLength(1);
    expect(await keysIn(world, foreign.endpoints[0]!)).toBe(1);
  });

  test('S1, S4: errors of the other cluster are ignored: a release there does not count', async ({
    candidate,
    world,
  }) => {
    const [ours] = world.etcd.endpoints;
    await using second = await startSwitchboard(ours!);
    await using third = await startSwitchboard(ours!);
    const alice = candidate('alice', { hosts: [ours!, second.endpoint, third.endpoint] });
    await alice.campaign();
    third.to(foreign.endpoints[0]!);
    for (let times = 0; times < 5; times++) {
      await alice.election.resign();
      expect(await world.keys()).toHaveLength(0);
      await alice.campaign();
    }
    expect(await keysIn(world, foreign.endpoints[0]!)).toBe(0);
  });
});
