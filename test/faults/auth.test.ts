import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { promisify } from 'node:util';
import { RefusedError, type ElectionOptions } from 'etcd-election';
import { etcdctlPath } from 'etcd-election/dev';
import { beforeAll, describe, expect, test } from 'vitest';
import type { HostClient } from '../../src/etcd/host.ts';
import type { CallOptions } from '../../src/etcd/intercept.ts';
import { sharedClientOf } from '../../src/client/shared-client.ts';
import { poll } from '../support/poll.ts';
import { nowMs } from './lab/history.ts';
import { NOISE_MS } from './lab/lab.ts';
import { everythingSaid, freshName, Replica } from './lab/replica.ts';
import { sharedCluster } from './lab/story.ts';

// Users with passwords, roles limited to a prefix, and tokens that expire unnoticed.

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

/** Counts the requests for a token that this etcd has answered. */
async function logins(): Promise<number> {
  const metrics = await (await fetch(`${cluster().endpoints[0]}/metrics`)).text();
  const all = metrics.matchAll(/^grpc_server_handled_total\{.*grpc_method="Authenticate",.*\} (\d+)$/gm);
  return [...all].reduce((sum, [, count]) => sum + Number(count), 0);
}

const MOST_LOGINS = 20;
/** A login and an entry on a busy machine: etcd hashes the password. */
const STARTED_MS = 20_000;
const TTL_S = 10;
const TTL_MS = TTL_S * 1_000;
const expired = async (): Promise<void> => {
  const untilMs = nowMs() + 3 * TOKEN_TTL_S * 1000;
  await poll(nowMs, 2 * 3 * TOKEN_TTL_S * 1000).toBeGreaterThan(untilMs);
};

const expectNoSecrets = (replica: Replica, ...errors: unknown[]): void => {
  const said = everythingSaid(replica, ...errors);
  for (const secret of [PASSWORD, 'root-secret', 'another-secret']) expect(said).not.toContain(secret);
};

describe('an auth token', () => {
  test('S1, L3: expires during a term: the term and its fenced writes continue', async () => {
    const name = freshName();
    await using alice = await start(name, { ttlSeconds: TTL_S });
    alice.stand();
    await poll(() => alice.leads, STARTED_MS).toBe(true);
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

  test('L1, L4: expires during a long wait, before all streams reset: the candidate still gets its turn (etcd #17623)', async () => {
    const name = freshName();
    await using alice = await start(name, { ttlSeconds: TTL_S });
    await using bob = await start(name, { ttlSeconds: TTL_S });
    alice.stand();
    await poll(() => alice.leads, STARTED_MS).toBe(true);
    bob.stand();
    await poll(() => bob.election.status.position, STARTED_MS).toBe(2);
    const before = await logins();
    await expired();
    const sinceMs = nowMs();
    for (const link of bob.links) link.reset();
    await poll(() => bob.told('watch.healed', sinceMs), TTL_MS).not.toEqual([]);
    expect(await logins(), 'the old one had run out').toBeGreaterThan(before);

    // Only the watch can report this: every other source takes a third of the TTL or longer.
    await alice.election.close();
    await poll(() => bob.leads, NOISE_MS).toBe(true);
    expectNoSecrets(bob);
  });
});

test('S1: a write with a lost answer is not sent again when a token expires', async () => {
  await using alice = await start(freshName(), { ttlSeconds: TTL_S });
  const link = sharedClientOf(alice.client).transport;
  const put = (client: HostClient, options: CallOptions) =>
    client.kv.put({ key: Buffer.from('election/noise'), value: Buffer.from('1') }, options);
  let sent = 0;
  const lost = link.unary(
    'a write',
    async (client, options) => {
      sent++;
      await put(client, options);
      await expired();
      await link.unary('another write', put, { withinMs: TTL_MS }); // this call gets a new token
      throw new Error('14 UNAVAILABLE: Connection dropped');
    },
    { withinMs: TTL_MS },
  );
  await expect(lost).rejects.toMatchObject({ mayHaveHappened: true });
  expect(sent).toBe(1);
});

describe('missing permissions', () => {
  test('a role that can only read the prefix gets a typed error at once', async () => {
    await using bob = await start(freshName(), {}, { username: 'bob', password: PASSWORD });
    const began = nowMs();
    const error: unknown = await bob.election.campaign('bob').catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(RefusedError);
    expect(String(error)).toContain('permission');
    expect(nowMs() - began).toBeLessThan(2_500 + NOISE_MS);
    expect(bob.election.status.state).toBe('idle');
    await expect(bob.election.leader()).resolves.toBeUndefined(); // its role may read
    expectNoSecrets(bob, error);
  });

  test('an election outside the prefix of its role is refused, for reads too', async () => {
    await using alice = await start(freshName(), { prefix: 'elsewhere/' });
    const error: unknown = await alice.election.campaign('alice').catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(RefusedError);
    await expect(alice.election.leader()).rejects.toBeInstanceOf(RefusedError);
    const observed = alice.election.observe()[Symbol.asyncIterator]().next();
    await expect(observed).rejects.toBeInstanceOf(RefusedError);
    expectNoSecrets(alice, error);
  });

  test('a wrong password causes a typed error that does not show the password', async () => {
    await using eve = await start(freshName(), {}, { username: 'alice', password: `wrong-${PASSWORD}` });
    const error: unknown = await eve.election.campaign('eve').catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(RefusedError);
    expectNoSecrets(eve, error);
  });
});

/**
 * Refused calls are retried at once, then after longer and longer delays. A gap of some seconds is therefore
 * noticed within its own length.
 */
const AGAIN_WITHIN_MS = 10_000;
const GAP_MS = 5_000;

interface Gap {
  readonly what: string;
  readonly begin: (user: string) => Promise<unknown>;
  readonly end: (user: string) => Promise<unknown>;
}

const gaps: readonly Gap[] = [
  {
    what: 'a role is taken and given back',
    begin: (user) => asRoot('user', 'revoke-role', user, 'candidate'),
    end: (user) => asRoot('user', 'grant-role', user, 'candidate'),
  },
  {
    what: 'a password is changed and rolled back',
    begin: (user) => changePassword(user, 'another-secret'),
    end: (user) => changePassword(user, PASSWORD),
  },
  {
    what: 'a user is deleted and created again',
    begin: (user) => asRoot('user', 'delete', user),
    end: async (user) => {
      await asRoot('user', 'add', `${user}:${PASSWORD}`);
      await asRoot('user', 'grant-role', user, 'candidate');
    },
  },
];

describe.each(gaps)('after a replica has taken part, $what', ({ begin, end }) => {
  const SHORT_TTL_S = 4;
  let made = 0;
  const newUser = async (): Promise<string> => {
    const user = `user-${freshName()}-${made++}`;
    await asRoot('user', 'add', `${user}:${PASSWORD}`);
    await asRoot('user', 'grant-role', user, 'candidate');
    return user;
  };
  const resetAll = (one: Replica): void => {
    for (const link of one.links) link.reset();
  };

  test('L3: the leader is unhealthy with the reason, and leads again afterwards', async () => {
    const user = await newUser();
    await using dave = await start(
      freshName(),
      { ttlSeconds: SHORT_TTL_S },
      { username: user, password: PASSWORD },
    );
    const ended: unknown[] = [];
    dave.election.campaign('dave').catch((reason: unknown) => ended.push(reason));
    await poll(() => dave.leads, STARTED_MS).toBe(true);

    const before = await logins();
    const sinceMs = nowMs();
    await begin(user);
    resetAll(dave);
    await poll(() => dave.told('candidate.refused', sinceMs), 20_000).not.toEqual([]);
    await poll(nowMs, 2 * GAP_MS).toBeGreaterThan(sinceMs + GAP_MS);
    expect(dave.told('candidate.refused', sinceMs)[0]).toMatchObject({ level: 'error' });
    expect(dave.election.health()).toMatchObject({ healthy: false, leading: false, standing: true });
    expect(dave.election.health().reason).toMatch(/refuses us: .*(permission denied|authentication failed)/);
    await expect(dave.election.leader()).rejects.toBeInstanceOf(RefusedError);
    expect((await logins()) - before).toBeLessThan(MOST_LOGINS);

    await end(user);
    await poll(() => dave.leads, nowMs() - sinceMs + AGAIN_WITHIN_MS).toBe(true);
    expect(dave.election.health()).toMatchObject({ healthy: true, reason: undefined });
    expect(ended).toEqual([]);
    expect(dave.told('campaign.ended')).toEqual([]);
    expectNoSecrets(dave, ...ended);
  });

  test('L3: the follower enters the queue again, and an observer continues', async () => {
    const user = await newUser();
    const name = freshName();
    await using alice = await start(name, { ttlSeconds: SHORT_TTL_S });
    await using carol = await start(
      name,
      { ttlSeconds: SHORT_TTL_S },
      { username: user, password: PASSWORD },
    );
    alice.stand();
    await poll(() => alice.leads, STARTED_MS).toBe(true);
    carol.stand();
    await poll(() => carol.election.status.position, STARTED_MS).toBe(2);
    const seen: (string | undefined)[] = [];
    const observing = (async () => {
      for await (const leader of carol.election.observe()) seen.push(leader?.value);
    })();
    await poll(() => seen, 5_000).toEqual(['alice']);

    const sinceMs = nowMs();
    await begin(user);
    resetAll(carol);
    await poll(() => carol.told('candidate.refused', sinceMs), 20_000).not.toEqual([]);
    await alice.election.resign();
    await end(user);
    await poll(() => carol.leads, nowMs() - sinceMs + AGAIN_WITHIN_MS).toBe(true);
    await poll(() => seen.at(-1), nowMs() - sinceMs + AGAIN_WITHIN_MS).toBe(user);
    await carol.election.close();
    await observing;
  });
});

test('L2: a candidate that loses its permission does not block the others', async () => {
  const user = `user-${freshName()}`;
  await asRoot('user', 'add', `${user}:${PASSWORD}`);
  await asRoot('user', 'grant-role', user, 'candidate');
  const name = freshName();
  await using dave = await start(name, { ttlSeconds: 3 }, { username: user, password: PASSWORD });
  await using alice = await start(name, { ttlSeconds: 3 });
  dave.stand();
  await poll(() => dave.leads, STARTED_MS).toBe(true);
  alice.stand();
  await poll(() => alice.election.status.position, STARTED_MS).toBe(2);

  await asRoot('user', 'revoke-role', user, 'candidate');
  // The client notices within a third of the TTL. Then one TTL passes.
  await poll(() => alice.leads, 2 * 3_000 + NOISE_MS).toBe(true);
  expect(dave.leads).toBe(false);
  await asRoot('user', 'grant-role', user, 'candidate');
  await poll(() => dave.election.status.position, 30_000).toBe(2);
});
