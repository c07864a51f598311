import { Etcd3, Range, type IOptions } from 'etcd3';
import { startEtcd, type EtcdCluster, type EtcdMember } from 'etcd-election/dev';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { certificates, type Certificates } from '../support/certificates.ts';
import { DoomedReplica, procFile } from '../support/last-will-process.ts';
import { test } from '../support/world.ts';
import { AT_ONCE_MS, lastWillChild, planOf, untilGone } from '../support/last-will-plan.ts';

// A helper reaches etcd as its replica does: with its certificates and its password, and at any of its hosts.

describe.skipIf(process.platform !== 'linux')('a last will with authentication', () => {
  let etcd: EtcdCluster;
  let pem: Certificates;
  let root: Etcd3;
  const auth = { username: 'service', password: 'a-secret-of-ours' };

  beforeAll(async () => {
    pem = await certificates();
    etcd = await startEtcd({
      extraArgs: [
        `--cert-file=${pem.files.cert}`,
        `--key-file=${pem.files.key}`,
        `--trusted-ca-file=${pem.files.ca}`,
        '--client-cert-auth',
      ],
    });
    const options: IOptions = {
      hosts: etcd.endpoints,
      credentials: {
        rootCertificate: Buffer.from(pem.ca),
        privateKey: Buffer.from(pem.key),
        certChain: Buffer.from(pem.cert),
      },
    };
    const setup = new Etcd3(options);
    await setup.role('election').create();
    await setup.role('election').grant({ permission: 'Readwrite', range: Range.prefix('t-') });
    await setup.user(auth.username).create(auth.password);
    await setup.user(auth.username).addRole('election');
    await setup.user('root').create('root-secret');
    await setup.user('root').addRole('root');
    await setup.auth.authEnable();
    setup.close();
    root = new Etcd3({ ...options, auth: { username: 'root', password: 'root-secret' } });
  }, 60_000);

  afterAll(async () => {
    root?.close();
    await etcd.stop();
    await pem.remove();
  });

  test('TLS with a client certificate, user and password: revoked at once, with no visible secret', async ({
    prefix,
  }) => {
    await using alice = new DoomedReplica(
      lastWillChild(),
      planOf({ hosts: etcd.endpoints, auth }, prefix, { credentials: pem }),
    );
    const { leaseId } = await alice.said('leads');
    const helper = await alice.helper();
    for (const file of ['cmdline', 'environ'] as const) {
      const text = procFile(helper, file);
      for (const secret of [
        auth.username,
        auth.password,
        'PRIVATE KEY',
        leaseId,
        etcd.endpoints[0]!.slice(8),
      ])
        expect(text).not.toContain(secret);
    }

    alice.signal('SIGKILL');

    await untilGone(root, leaseId, AT_ONCE_MS);
  });
});

describe.skipIf(process.platform !== 'linux')('a last will, with three members', () => {
  let etcd: EtcdCluster;
  beforeAll(async () => {
    etcd = await startEtcd({ members: 3 });
  }, 60_000);
  afterAll(() => etcd.stop());

  /** A member that does not lead etcd. Without etcd's leader, no member could revoke the lease for seconds. */
  async function follower(): Promise<EtcdMember> {
    for (const member of etcd.members) {
      const client = new Etcd3({ hosts: member.endpoint });
      const { header, leader } = await client.maintenance.status().finally(() => client.close());
      if (leader !== header.member_id) return member;
    }
    throw new Error('each member leads etcd');
  }

  test('a silent host makes the helper ask the next one', async ({ prefix }) => {
    const silent = await follower();
    const [other, third] = etcd.endpoints.filter((endpoint) => endpoint !== silent.endpoint);
    const client = new Etcd3({ hosts: third! });
    await using alice = new DoomedReplica(
      lastWillChild(),
      planOf({ hosts: [silent.endpoint, other!] }, prefix),
    );
    const { leaseId } = await alice.said('leads');
    await alice.helper();
    silent.freeze();

    alice.signal('SIGKILL');

    await untilGone(client, leaseId, AT_ONCE_MS).finally(() => silent.thaw());
    client.close();
  });
});
