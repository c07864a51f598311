// As in foreign-cluster-auth.test.ts, but etcd takes the user from the client's certificate. Such a client has no password to
// log in with. Since 3.5.28, etcd hides its status from ordinary users. So the client asks for the time to live of a lease.
import { startEtcd, type EtcdCluster } from 'etcd-election/dev';
import { Etcd3, type IOptions } from 'etcd3';
import { afterAll, beforeAll, expect } from 'vitest';
import { certificates, type Certificates } from '../support/certificates.ts';
import { startSwitchboard } from '../support/switchboard.ts';
import { test } from '../support/world.ts';

/** Each round has a new client, which chooses its first host at random. */
const ROUNDS = 12;

let made: Certificates;
let app: NonNullable<IOptions['credentials']>;
let root: NonNullable<IOptions['credentials']>;

beforeAll(async () => {
  made = await certificates();
  app = await made.clientOf('app');
  root = await made.clientOf('root');
});
afterAll(() => made?.remove());

/** An etcd with authentication. The user `app` may use all keys. */
async function start(): Promise<EtcdCluster> {
  const { ca, cert, key } = made.files;
  const etcd = await startEtcd({
    extraArgs: [`--cert-file=${cert}`, `--key-file=${key}`, `--trusted-ca-file=${ca}`, '--client-cert-auth'],
  });
  const admin = new Etcd3({ hosts: etcd.endpoints, credentials: root });
  await (await admin.user('root').create('unused')).addRole(await admin.role('root').create());
  const role = await admin.role('elector').create();
  await role.grant({ permission: 'Readwrite', range: admin.range({ prefix: '' }) });
  await (await admin.user('app').create('unused')).addRole(role);
  await admin.auth.authEnable();
  admin.close();
  return etcd;
}

test('S1: with a certificate as the login, a candidate never takes the cluster of a wrong host for its own', async ({
  world,
  log,
}) => {
  await using ours = await start();
  await using foreign = await start();
  await using second = await startSwitchboard(ours.endpoints[0]!);
  const hosts = [foreign.endpoints[0]!, ours.endpoints[0]!, second.endpoint.replace(/^http:/, 'https:')];
  const clientOf = (to: string | string[]): Etcd3 => world.client({ hosts: to, credentials: app });
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
