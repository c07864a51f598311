// As in foreign-cluster.test.ts, with authentication on. Since 3.5.28, etcd then hides its status from ordinary users.
import { startEtcd, type EtcdCluster } from 'etcd-election/dev';
import { Etcd3 } from 'etcd3';
import { expect } from 'vitest';
import { startSwitchboard } from '../support/switchboard.ts';
import { test } from '../support/world.ts';

/** Each round has a new client, which chooses its first host at random. */
const ROUNDS = 12;

/** An etcd with authentication. The user `app` may use the keys of elections. */
async function startWithUsers(): Promise<EtcdCluster> {
  const etcd = await startEtcd();
  const admin = new Etcd3({ hosts: etcd.endpoints });
  await (await admin.user('root').create('secret')).addRole(await admin.role('root').create());
  const role = await admin.role('elector').create();
  await role.grant({ permission: 'Readwrite', range: admin.range({ prefix: '' }) });
  await (await admin.user('app').create('secret')).addRole(role);
  await admin.auth.authEnable();
  admin.close();
  return etcd;
}

test('S1: with authentication on, a candidate never takes the cluster of a wrong host for its own', async ({
  world,
  log,
}) => {
  await using ours = await startWithUsers();
  await using foreign = await startWithUsers();
  await using second = await startSwitchboard(ours.endpoints[0]!);
  const hosts = [foreign.endpoints[0]!, ours.endpoints[0]!, second.endpoint];
  const clientOf = (to: string | string[]): Etcd3 =>
    world.client({ hosts: to, auth: { username: 'app', password: 'secret' } });
  for (let round = 0; round < ROUNDS; round++) {
    const election = world.election(clientOf(hosts), `job ${round}`, { logger: log.logger });
    await election.campaign();
    await election.close();
  }
  const revisionOf = async (to: string): Promise<number> =>
    Number((await clientOf(to).getAll().prefix(world.prefix).exec()).header.revision);
  expect([...log.of('cluster.changed'), ...log.of('candidate.failed')]).toEqual([]);
  expect(await revisionOf(foreign.endpoints[0]!)).toBe(1);
  expect(await revisionOf(ours.endpoints[0]!)).toBeGreaterThan(ROUNDS);
});
