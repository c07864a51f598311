import { execFile } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { etcdctlPath, etcdPath, startEtcd, type EtcdCluster, type EtcdSeries } from 'etcd-election/dev';
import { describe, expect, test, type TestContext } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { nowMs } from './lab/history.ts';
import { etcdBinary, seriesOrGiven } from './lab/etcd-binary.ts';
import { NOISE_MS } from './lab/lab.ts';
import { freshName, Replica } from './lab/replica.ts';

// A quiet session whose token expires, or whose users and roles change. From 3.5.30 on, etcd checks the token of each
// renewal. Older versions check it only when the stream is opened.

const TTL_S = 6;
const TTL_MS = TTL_S * 1_000;
const TOKEN_TTL_S = 1; // less than a third of the TTL: at each renewal the token has expired
const SECRET = 'alice-secret-41c7';

async function etcdOf(
  series: EtcdSeries | undefined,
  { skip }: TestContext,
  extraArgs: readonly string[],
): Promise<EtcdCluster> {
  const binary = await (series === undefined ? etcdBinary() : etcdPath({ series })).catch(() => undefined);
  if (binary === undefined) skip(`etcd ${series} cannot be had here`);
  return await startEtcd({ binary, extraArgs });
}

async function admin(etcd: EtcdCluster, ...args: readonly string[]): Promise<string> {
  const env = { ...process.env, ETCDCTL_API: '3' };
  const all = ['--endpoints', etcd.endpoints[0]!, ...args];
  return (await promisify(execFile)(await etcdctlPath(), all, { env, timeout: 10_000 })).stdout;
}

async function addUsers(etcd: EtcdCluster): Promise<void> {
  await admin(etcd, 'user', 'add', 'root:root');
  await admin(etcd, 'user', 'grant-role', 'root', 'root');
  await admin(etcd, 'role', 'add', 'candidate');
  await admin(etcd, 'role', 'grant-permission', '--prefix=true', 'candidate', 'readwrite', 'election/');
  await admin(etcd, 'user', 'add', `alice:${SECRET}`);
  await admin(etcd, 'user', 'grant-role', 'alice', 'candidate');
}

const start = (etcd: EtcdCluster, election: string, value: string): Promise<Replica> =>
  Replica.start({
    endpoints: etcd.endpoints,
    election,
    value,
    options: { ttlSeconds: TTL_S },
    client: { auth: { username: 'alice', password: SECRET } },
  });

/** Two replicas: one leads, one waits. */
async function stand(leader: Replica, follower: Replica): Promise<void> {
  leader.stand();
  await eventually(() => leader.leads, { withinMs: 5_000 });
  follower.stand();
  await eventually(() => follower.election.status.position === 2, { withinMs: 5_000 });
}

const renewals = (one: Replica, sinceMs: number): number => one.told('session.renewed', sinceMs).length;

/**
 * Both renewed several times, and logged no warning. A busy machine may keep etcd silent for half a second. Then its host is avoided,
 * and nothing else follows.
 */
async function expectCalm(...replicas: readonly Replica[]): Promise<void> {
  const sinceMs = nowMs();
  for (const one of replicas) await eventually(() => renewals(one, sinceMs) >= 2, { withinMs: 2 * TTL_MS });
  for (const one of replicas) {
    const warned = one.log.filter(({ level }) => level === 'warn' || level === 'error');
    const others = warned.filter(
      ({ event, message }) => event !== 'host.away' || !message.endsWith('no answer'),
    );
    expect(others.map(({ message }) => message)).toEqual([]);
  }
}

async function jwtFlags(folder: string): Promise<string[]> {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  const [pub, priv] = [join(folder, 'jwt.pub'), join(folder, 'jwt.key')];
  await writeFile(pub, publicKey);
  await writeFile(priv, privateKey);
  return [`--auth-token=jwt,pub-key=${pub},priv-key=${priv},sign-method=RS256,ttl=${TOKEN_TTL_S}s`];
}

describe.each(seriesOrGiven('3.4', '3.5', 'newest'))('etcd %s', (series) => {
  test.for(['simple', 'jwt'] as const)(
    'L3, L4: %s tokens that expire between renewals, and changed users, cost no term and no warning',
    async (kind, context) => {
      const folder = await mkdtemp(join(tmpdir(), 'etcd-election-jwt-'));
      try {
        const flags = kind === 'jwt' ? await jwtFlags(folder) : [`--auth-token-ttl=${TOKEN_TTL_S}`];
        await using etcd = await etcdOf(series, context, flags);
        await addUsers(etcd);
        await admin(etcd, 'auth', 'enable');
        const name = freshName();
        await using alice = await start(etcd, name, 'alice');
        await using bob = await start(etcd, name, 'bob');
        await stand(alice, bob);
        await expectCalm(alice, bob);

        // The revision of the auth store grows: tokens with an older one are refused.
        await admin(etcd, '--user', 'root:root', 'user', 'add', 'somebody:else');
        await expectCalm(alice, bob);

        expect(alice.terms).toHaveLength(1);
        const answer = await alice.terms[0]!.txn()
          .then(alice.client.put(`election/${name}-log`).value('1'))
          .commit();
        expect(answer.succeeded).toBe(true);
        await alice.election.close();
        await eventually(() => bob.leads, { withinMs: NOISE_MS });
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    },
  );

  test('L3: enabling and disabling authentication during a quiet session costs no term', async (context) => {
    await using etcd = await etcdOf(series, context, []);
    await addUsers(etcd);
    const name = freshName();
    await using alice = await start(etcd, name, 'alice');
    await using bob = await start(etcd, name, 'bob');
    await stand(alice, bob);

    await admin(etcd, 'auth', 'enable');
    await expectCalm(alice, bob);
    await admin(etcd, '--user', 'root:root', 'auth', 'disable');
    await expectCalm(alice, bob);
    expect(alice.terms).toHaveLength(1);
    await alice.election.close();
    await eventually(() => bob.leads, { withinMs: NOISE_MS });
  });
});

/** A member is probed every five seconds. The first probe may come before the member is ready, and the next may be slow. */
const PROBED_TWICE_MS = 3 * 5_000;

test('L4: tokens that expire between probes do not keep a member away that is back', async () => {
  const binary = await etcdBinary();
  await using etcd = await startEtcd({ binary, members: 3, extraArgs: ['--auth-token-ttl=2'] });
  await addUsers(etcd);
  await admin(etcd, 'auth', 'enable');
  const name = freshName();
  await using alice = await start(etcd, name, 'alice');
  alice.stand();
  await eventually(() => alice.leads, { withinMs: 5_000 });
  // Only a member that is used keeps the token valid.
  const [term] = alice.terms;
  term!.every(200, () => term!.put(`election/${name}-log`, 'x').catch(() => undefined));

  const member = etcd.members[2]!;
  const killedMs = nowMs();
  await member.kill();
  const about = (event: string): boolean =>
    alice.told(event, killedMs).some(({ message }) => message.includes(alice.links[2]!.endpoint));
  await eventually(() => about('host.away'), { withinMs: 3 * TTL_MS });
  await member.start();

  await eventually(() => about('host.back'), { withinMs: PROBED_TWICE_MS });
});
