/**
 * What a last will does when a process dies, and what it must never do while the process lives. Each replica is
 * a process, bundled from source. Its helper is found in /proc.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Etcd3, Range, type IOptions } from 'etcd3';
import { startEtcd, type EtcdCluster, type EtcdMember } from 'etcd-election/dev';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { certificates, type Certificates } from '../support/certificates.ts';
import { eventually } from '../support/eventually.ts';
import type { ChildPlan } from '../support/last-will-child.ts';
import {
  buildChild,
  childrenOf,
  DoomedReplica,
  isRunning,
  procFile,
  statusOf,
} from '../support/last-will-process.ts';
import { startSwitchboard } from '../support/switchboard.ts';
import { test } from '../support/world.ts';

const TTL_SECONDS = 10;
/**
 * Not a promise but a limit for a busy machine, which may take seconds to start a helper. A renewed lease lasts for two thirds
 * of its TTL at least, so only the helper can have revoked it earlier.
 */
const AT_ONCE_MS = (TTL_SECONDS * 1_000) / 2;
/**
 * For a process that stops for as long: its last renewal may be a third of the TTL old, and with {@link TTL_SECONDS} both together
 * nearly use up the lease.
 */
const UNHURRIED = { options: { ttlSeconds: 2 * TTL_SECONDS } };

let program: string;
beforeAll(async () => {
  program = await buildChild('test/support/last-will-child.ts');
});

const planOf = (
  client: ChildPlan['client'],
  prefix: string,
  rest: Partial<Omit<ChildPlan, 'options'>> & { options?: ChildPlan['options'] } = {},
): ChildPlan => ({
  client,
  election: 'e',
  value: 'alice',
  ...rest,
  options: { ttlSeconds: TTL_SECONDS, prefix, lastWill: true, ...rest.options },
});

/** @returns the duration in milliseconds. */
async function untilGone(client: Etcd3, leaseId: string, withinMs: number): Promise<number> {
  const sinceMs = performance.now();
  await eventually(async () => (await timeToLive(client, leaseId)) < 0, { withinMs });
  return performance.now() - sinceMs;
}

/** In seconds; negative if etcd does not know the lease. */
const timeToLive = async (client: Etcd3, leaseId: string): Promise<number> =>
  Number((await client.leaseClient.leaseTimeToLive({ ID: leaseId })).TTL);

describe.skipIf(process.platform !== 'linux')('a last will', () => {
  test('is off by default: no helper, and a crash costs the TTL', async ({ etcd, prefix, world }) => {
    const plan = planOf({ hosts: etcd.endpoints }, prefix, { options: { lastWill: false } });
    await using alice = new DoomedReplica(program, plan);
    const { leaseId } = await alice.said('leads');

    expect(childrenOf(alice.pid)).toEqual([]);
    alice.signal('SIGKILL');
    await alice.exited();
    expect(await timeToLive(world.own, leaseId)).toBeGreaterThan(0);
    await world.own.leaseClient.leaseRevoke({ ID: leaseId });
  });

  test('after kill -9 the helper revokes the lease at once, and the next candidate leads', async ({
    etcd,
    prefix,
    world,
    candidate,
  }) => {
    await using alice = new DoomedReplica(program, planOf({ hosts: etcd.endpoints }, prefix));
    const { leaseId, fencingToken } = await alice.said('leads');
    const bob = candidate('bob', { ttlSeconds: TTL_SECONDS });
    void bob.campaign();
    await bob.queued();
    const helper = await alice.helper();

    alice.signal('SIGKILL');

    await untilGone(world.own, leaseId, AT_ONCE_MS);
    const term = await bob.elected(AT_ONCE_MS);
    expect(term.fencingToken).toBeGreaterThan(BigInt(fencingToken));
    await eventually(() => !isRunning(helper), { withinMs: AT_ONCE_MS });
  });

  test.for(['dns:///', 'dns:'])(
    'accepts a host written as %shost:port',
    async (scheme, { etcd, prefix, world }) => {
      const hosts = etcd.endpoints.map((url) => `${scheme}${new URL(url).host}`);
      await using alice = new DoomedReplica(program, planOf({ hosts }, prefix));
      const { leaseId } = await alice.said('leads');
      await alice.helper();
      alice.signal('SIGKILL');
      await untilGone(world.own, leaseId, AT_ONCE_MS);
      expect(alice.all('warned')).toEqual([]);
    },
  );

  test('skips a host of another etcd cluster, and ignores its "lease not found"', async ({
    etcd,
    prefix,
    world,
  }) => {
    await using foreign = await startEtcd();
    const [ours] = etcd.endpoints;
    await using second = await startSwitchboard(ours!);
    const hosts = [foreign.endpoints[0]!, ours!, second.endpoint];
    await using alice = new DoomedReplica(program, planOf({ hosts }, prefix));
    const { leaseId } = await alice.said('leads');
    await alice.helper();

    alice.signal('SIGKILL');

    await untilGone(world.own, leaseId, AT_ONCE_MS);
  });

  test('exists as soon as the process leads, and survives an immediate kill', async ({
    etcd,
    prefix,
    world,
  }) => {
    await using alice = new DoomedReplica(program, planOf({ hosts: etcd.endpoints }, prefix));
    const { leaseId } = await alice.said('leads'); // the helper is still starting

    alice.signal('SIGKILL');

    await untilGone(world.own, leaseId, AT_ONCE_MS);
  });

  test.for([{ minify: false }, { minify: true }])(
    'works from a bundle (minified: $minify), and process.exit() counts as an end',
    async ({ minify }, { etcd, prefix, world }) => {
      const bundle = minify ? await buildChild('test/support/last-will-child.ts', minify) : program;
      await using alice = new DoomedReplica(bundle, planOf({ hosts: etcd.endpoints }, prefix));
      const { leaseId } = await alice.said('leads');
      await alice.helper();

      alice.order({ exit: 0 });

      await alice.exited();
      await untilGone(world.own, leaseId, AT_ONCE_MS);
    },
  );

  test('a SIGTERM that kills our whole process group still leaves the helper to revoke', async ({
    etcd,
    prefix,
    world,
  }) => {
    await using alice = new DoomedReplica(program, planOf({ hosts: etcd.endpoints }, prefix));
    const { leaseId } = await alice.said('leads');
    const helper = await alice.helper();

    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR1'] as const) process.kill(helper, signal);
    alice.signal('SIGTERM', 'group');

    await alice.exited();
    await untilGone(world.own, leaseId, AT_ONCE_MS);
    await eventually(() => !isRunning(helper), { withinMs: AT_ONCE_MS });
  });

  test('a blocked event loop is not an end', async ({ etcd, prefix, world }) => {
    await using alice = new DoomedReplica(program, planOf({ hosts: etcd.endpoints }, prefix, UNHURRIED));
    const { leaseId } = await alice.said('leads');
    await alice.helper();

    alice.order({ block: AT_ONCE_MS + 500 });
    await alice.said('blocked');

    expect(await timeToLive(world.own, leaseId)).toBeGreaterThan(0);
    expect(alice.all('leads')).toHaveLength(1);
    expect(alice.all('follows')).toHaveLength(0);
  });

  test.for(['process', 'group'] as const)(
    'a %s that is stopped and continued is not an end',
    async (which, { etcd, prefix, world }) => {
      await using alice = new DoomedReplica(program, planOf({ hosts: etcd.endpoints }, prefix, UNHURRIED));
      const { leaseId } = await alice.said('leads');
      const helper = await alice.helper();

      alice.signal('SIGSTOP', which);
      if (which === 'group') process.kill(helper, 'SIGSTOP'); // the helper has its own process group
      await sleep(AT_ONCE_MS);
      expect(await timeToLive(world.own, leaseId)).toBeGreaterThan(0);
      alice.signal('SIGCONT', which);
      if (which === 'group') process.kill(helper, 'SIGCONT');
      alice.order({ block: 0 });
      await alice.said('blocked');

      expect(await timeToLive(world.own, leaseId)).toBeGreaterThan(0);
      expect(alice.all('leads')).toHaveLength(1);
      expect(isRunning(helper)).toBe(true);
    },
  );

  test('close() ends the helper', async ({ etcd, prefix, world }) => {
    await using alice = new DoomedReplica(program, planOf({ hosts: etcd.endpoints }, prefix));
    const { leaseId } = await alice.said('leads');
    const helper = await alice.helper();

    alice.order({ close: true });
    await alice.said('closed');

    expect(await timeToLive(world.own, leaseId)).toBe(-1);
    await eventually(() => !isRunning(helper), { withinMs: AT_ONCE_MS });
    expect(childrenOf(alice.pid).filter(isRunning)).toEqual([]);
  });

  test('a killed helper is logged and started again, and the election continues', async ({
    etcd,
    prefix,
    world,
  }) => {
    await using alice = new DoomedReplica(program, planOf({ hosts: etcd.endpoints }, prefix));
    const { leaseId } = await alice.said('leads');
    const first = await alice.helper();

    process.kill(first, 'SIGKILL');
    expect(await alice.said('warned')).toBe('last-will.lost');
    await eventually(() => !isRunning(first), { withinMs: AT_ONCE_MS });
    const second = await alice.helper();
    expect(second).not.toBe(first);
    expect(alice.all('leads')).toHaveLength(1);

    alice.signal('SIGKILL');
    await untilGone(world.own, leaseId, AT_ONCE_MS);
  });

  test('the helper is small and idle', async ({ etcd, prefix }) => {
    await using alice = new DoomedReplica(program, planOf({ hosts: etcd.endpoints }, prefix));
    await alice.said('leads');
    const helper = await alice.helper();
    const ticks = (): number =>
      procFile(helper, 'stat')
        .split(') ')[1]!
        .split(' ')
        .slice(11, 13)
        .map(Number)
        .reduce((a, b) => a + b);
    const renewalMs = (TTL_SECONDS * 1_000) / 3;
    const spent = async (): Promise<number> => {
      const before = ticks();
      await sleep(renewalMs);
      return ticks() - before;
    };
    // 10 ms each. On a busy machine the first periods may still contain the end of its start.
    await eventually(async () => expect(await spent()).toBeLessThanOrEqual(1), { withinMs: 4 * renewalMs });
    expect(Number(/^VmRSS:\s+(\d+) kB/m.exec(statusOf(helper))![1])).toBeLessThan(60_000);
  });
});

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
      program,
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
    await using alice = new DoomedReplica(program, planOf({ hosts: [silent.endpoint, other!] }, prefix));
    const { leaseId } = await alice.said('leads');
    await alice.helper();
    silent.freeze();

    alice.signal('SIGKILL');

    await untilGone(client, leaseId, AT_ONCE_MS).finally(() => silent.thaw());
    client.close();
  });
});
