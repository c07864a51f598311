// As in foreign-cluster.test.ts, with authentication on. Since 3.5.28, etcd then hides its status from ordinary users.
import { Etcd3 } from 'etcd3';
import { expect } from 'vitest';
import { startEtcdWithUsers } from '../support/etcd-with-users.ts';
import { startSwitchboard } from '../support/switchboard.ts';
import { test } from '../support/world.ts';

/** Each round has a new client, which chooses its first host at random. */
const ROUNDS = 12;

test('S1: with authentication on, a candidate never takes the cluster of a wrong host for its own', async ({
  world,
  log,
}) => {
  await using ours = await startEtcdWithUsers('');
  await using foreign = await startEtcdWithUsers('');
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
