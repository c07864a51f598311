import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { promisify } from 'node:util';
import { RefusedError, type ElectionOptions } from 'etcd-election';
import { etcdctlPath } from 'etcd-election/dev';
import { beforeAll, describe, expect, test } from 'vitest';
import { nowMs } from './lab/history.ts';
import { NOISE_MS } from './lab/lab.ts';
import { everythingSaid, freshName, Replica } from './lab/replica.ts';
import { sharedCluster } from './lab/story.ts';

// Users with passwords, roles limited to a prefix, and tokens that expire while nobody looks.

const TOKEN_TTL_S = 1;
const cluster = sharedCluster({ members: 1, etcdArgs: [`--auth-token-ttl=${TOKEN_TTL_S}`] });
const ROOT = 'root:root-secret';
const PASSWORD = 'alice-secret-9f31';

async function admin(...args: readonly string[]): Promise<string> {
  const all = ['--endpoints', cluster().endpoints[0]!, ...args];
  const { stdout } = await promisify(execFile)(await etcdctlPath(), all, {
    env: { ...process.env, ETCDCTL_API: '3' },
    timeout: 10_000,
  });
  return stdout;
}
const asRoot = (...args: readonly string[]): Promise<string> => admin('--user', ROOT, ...args);

async function changePassword(user: string, password: string): Promise<void> {
  const ofRoot = ['--user', ROOT, 'user', 'passwd', user, '--interactive=false'];
  const child = execFile(await etcdctlPath(), ['--endpoints', cluster().endpoints[0]!, ...ofRoot], {
    env: { ...process.env, ETCDCTL_API: '3' },
    timeout: 10_000,
  });
  child.stdin!.end(`${password}\n`);
  const [code] = await once(child, 'exit');
  expect(code).toBe(0);
}

beforeAll(async () => {
  await admin('user', 'add', ROOT);
  await admin('user', 'grant-role', 'root', 'root');
  await admin('role', 'add', 'candidate');
  await admin('role', 'grant-permission', '--prefix=true', 'candidate', 'readwrite', 'election/');
  await admin('role', 'add', 'watcher');
  await admin('role', 'grant-permission', '--prefix=true', 'watcher', 'read', 'election/');
  await admin('user', 'add', `alice:${PASSWORD}`);
  await admin('user', 'grant-role', 'alice', 'candidate');
  await admin('user', 'add', `bob:${PASSWORD}`);
  await admin('user', 'grant-role', 'bob', 'watcher');
  await admin('auth', 'enable');
});

const start = (
  election: string,
  options: ElectionOptions = {},
  auth = { username: 'alice', password: PASSWORD },
): Promise<Replica> =>
  Replica.start({
    endpoints: cluster().endpoints,
    election,
    value: auth.username,
    options,
    client: { auth },
  });

/** How often this etcd has been asked for a token. */
async function logins(): Promise<number> {
  const metrics = await (await fetch(`${cluster().endpoints[0]}/metrics`)).text();
  const all = metrics.matchAll(/^grpc_server_handled_total\{.*grpc_method="Authenticate",.*\} (\d+)$/gm);
  return [...all].reduce((sum, [, count]) => sum + Number(count), 0);
}

const MOST_LOGINS = 20;
const TTL_S = 10;
const TTL_MS = TTL_S * 1_000;
const within = (ms: number) => ({ timeout: ms, interval: 10 });
const expired = async (): Promise<void> => {
  const untilMs = nowMs() + 3 * TOKEN_TTL_S * 1000;
  await expect.poll(nowMs, within(2 * 3 * TOKEN_TTL_S * 1000)).toBeGreaterThan(untilMs);
};

const expectNoSecrets = (replica: Replica, ...errors: unknown[]): void => {
  const said = everythingSaid(replica, ...errors);
  for (const secret of [PASSWORD, 'root-secret', 'another-secret']) expect(said).not.toContain(secret);
};

describe('a token that expires', () => {
  test('S1, L3: during a term: the term goes on, and fenced writes too', async () => {
    const name = freshName();
    await using alice = await start(name, { ttlSeconds: TTL_S });
    alice.stand();
    await expect.poll(() => alice.leads, within(5_000)).toBe(true);
    const before = await logins();
    await expired();

    const [term] = alice.terms;
    const answer = await term!
      .txn()
      .then(alice.client.put(`election/${name}-log`).value('1'))
      .commit();
    expect(answer.succeeded).toBe(true);
    expect(await logins(), 'the old one had run out').toBeGreaterThan(before);
    await term!.proclaim('another value');
    expect(alice.terms).toHaveLength(1);
    expectNoSecrets(alice);
  });

  test('L1, L4: during a long wait, with every stream reset at the end of it: the turn is not missed (etcd #17623)', async () => {
    const name = freshName();
    await using alice = await start(name, { ttlSeconds: TTL_S });
    await using bob = await start(name, { ttlSeconds: TTL_S });
    alice.stand();
    await expect.poll(() => alice.leads, within(5_000)).toBe(true);
    bob.stand();
    await expect.poll(() => bob.election.status.position, within(5_000)).toBe(2);
    const before = await logins();
    await expired();
    const sinceMs = nowMs();
    for (const link of bob.links) link.reset();
    await expect.poll(() => bob.told('watch.healed', sinceMs), within(TTL_MS)).not.toEqual([]);
    expect(await logins(), 'the old one had run out').toBeGreaterThan(before);

    // Told by the watch: nothing else would tell within a third of the TTL.
    await alice.election.close();
    await expect.poll(() => bob.leads, within(NOISE_MS)).toBe(true);
    expectNoSecrets(bob);
  });
});

describe('who may not', () => {
  test('a role that may only read the prefix is refused with a typed error, at once', async () => {
    await using bob = await start(freshName(), {}, { username: 'bob', password: PASSWORD });
    const began = nowMs();
    const error: unknown = await bob.election.campaign('bob').catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(RefusedError);
    expect(String(error)).toContain('permission');
    expect(nowMs() - began).toBeLessThan(2_500 + NOISE_MS);
    expect(bob.election.status.state).toBe('idle');
    await expect(bob.election.leader()).resolves.toBeUndefined(); // it may look
    expectNoSecrets(bob, error);
  });

  test('an election outside the prefix that a role is limited to is refused, reading too', async () => {
    await using alice = await start(freshName(), { prefix: 'elsewhere/' });
    const error: unknown = await alice.election.campaign('alice').catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(RefusedError);
    await expect(alice.election.leader()).rejects.toBeInstanceOf(RefusedError);
    const observed = alice.election.observe()[Symbol.asyncIterator]().next();
    await expect(observed).rejects.toBeInstanceOf(RefusedError);
    expectNoSecrets(alice, error);
  });

  test('a wrong password is refused with a typed error that does not show it', async () => {
    await using eve = await start(freshName(), {}, { username: 'alice', password: `wrong-${PASSWORD}` });
    const error: unknown = await eve.election.campaign('eve').catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(RefusedError);
    expectNoSecrets(eve, error);
  });
});

describe('what changes under us', () => {
  test('a permission that is taken away ends the campaign with a typed error when the watch must be made anew', async () => {
    await asRoot('user', 'add', `carol:${PASSWORD}`);
    await asRoot('user', 'grant-role', 'carol', 'candidate');
    const name = freshName();
    await using alice = await start(name, { ttlSeconds: TTL_S });
    alice.stand();
    await expect.poll(() => alice.leads, within(5_000)).toBe(true);
    await using carol = await start(name, { ttlSeconds: TTL_S }, { username: 'carol', password: PASSWORD });
    const campaign = carol.election.campaign('carol').catch((reason: unknown) => reason);
    await expect.poll(() => carol.election.status.position, within(5_000)).toBe(2);

    await asRoot('user', 'revoke-role', 'carol', 'candidate');
    for (const link of carol.links) link.reset();
    expect(await campaign).toBeInstanceOf(RefusedError);
    expect(alice.leads).toBe(true);
    expectNoSecrets(carol, await campaign);
  });

  test('a password that is changed under a candidate ends its campaign with a typed error, not in a loop', async () => {
    await asRoot('user', 'add', `dave:${PASSWORD}`);
    await asRoot('user', 'grant-role', 'dave', 'candidate');
    const name = freshName();
    await using dave = await start(name, { ttlSeconds: 4 }, { username: 'dave', password: PASSWORD });
    const ended: unknown[] = [];
    dave.election.campaign('dave').catch((reason: unknown) => ended.push(reason));
    await expect.poll(() => dave.leads, within(5_000)).toBe(true);

    const before = await logins();
    await changePassword('dave', 'another-secret');
    for (const link of dave.links) link.reset();
    // It leads on for as long as its lease is good, and can then get no other.
    await expect.poll(() => dave.told('campaign.ended'), within(2 * 4_000 + 3_000)).toHaveLength(1);
    expect(dave.told('campaign.ended')[0]!.fields).toMatchObject({ because: 'refused' });
    expect(ended).toEqual([]); // it had resolved: it led
    // Each refusal is asked about anew, at the pace of the guard.
    expect((await logins()) - before).toBeLessThan(MOST_LOGINS);
    const error: unknown = await dave.election.leader().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(RefusedError);
    expect(dave.leads).toBe(false);
    expectNoSecrets(dave, error, ...ended);
  });
});
