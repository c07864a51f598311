/** Elections of one client that start in the same turn enter in one transaction, and none affects the others. */
import type { Etcd3 } from 'etcd3';
import { Etcd3 as Client } from 'etcd3';
import type { Election, Term } from 'etcd-election';
import { startEtcd, startProxy, type FaultyProxy } from 'etcd-election/dev';
import { expect } from 'vitest';
import { eventually, within } from '../support/eventually.ts';
import { SOON_MS, test, type World } from '../support/world.ts';

const names = (count: number): string[] => Array.from({ length: count }, (_, n) => `e${n}`);

const elections = (world: World, client: Etcd3, count: number, prefix = world.prefix): Election[] =>
  names(count).map((name) => world.election(client, name, { prefix }));

const allLead = (all: readonly Election[], value: (n: number) => string = String): Promise<Term[]> =>
  within(2 * SOON_MS, 'all lead', Promise.all(all.map((one, n) => one.campaign(value(n)))));

const revisionsOf = (terms: readonly Term[]): number => new Set(terms.map((term) => term.fencingToken)).size;

/**
 * Opens the session of this client.
 * @returns the ID of its lease, in hex.
 */
async function leaseOf(world: World, client: Etcd3): Promise<string> {
  const first = world.election(client, 'first');
  await first.campaign();
  const [key] = await world.keys('first');
  return key!.split('/').at(-1)!;
}

test('a hundred elections enter in three transactions, and leave in at most three', async ({
  world,
  client,
}) => {
  const shared = client();
  const all = elections(world, shared, 100);
  expect(revisionsOf(await allLead(all))).toBe(3); // the first goes alone
  // The revision of etcd would also count what other test files write meanwhile.
  const deleted: string[] = [];
  const watcher = await world.own.watch().prefix(world.prefix).create();
  watcher.on('delete', ({ mod_revision }) => void deleted.push(mod_revision));
  await Promise.all(all.map((one) => one.close()));
  for (const name of names(100)) expect(await world.keys(name)).toEqual([]);
  await eventually(() => deleted.length === 100, { withinMs: SOON_MS });
  await watcher.cancel();
  expect(new Set(deleted).size).toBeLessThanOrEqual(3);
});

test('S1: two candidates of one client in one election have two tokens', async ({ world, client }) => {
  const shared = client();
  const all = [6, 7, 8].map((ttlSeconds) => world.election(shared, 'e', { ttlSeconds }));
  for (const one of all) void one.campaign();
  await eventually(
    async () => {
      const { kvs } = await world.own.getAll().prefix(`${world.prefix}e/`).exec();
      expect(new Set(kvs.map(({ create_revision }) => create_revision)).size).toBe(3);
    },
    { withinMs: SOON_MS },
  );
  expect(all.filter(({ status }) => status.term?.isCurrent() === true)).toHaveLength(1);
});

test('an election whose key exists enters alone, under a new token', async ({ world, client }) => {
  const shared = client();
  const lease = await leaseOf(world, shared);
  await world.own.put(`${world.prefix}e5/${lease}`).value('old');
  const { kvs } = await world.own.getAll().prefix(`${world.prefix}e5/`).exec();
  const terms = await allLead(elections(world, shared, 20));
  expect(terms[5]!.fencingToken).toBeGreaterThan(BigInt(kvs[0]!.create_revision));
});

test('a lost lease: all lead under a new one', async ({ world, client }) => {
  const shared = client();
  const lease = await leaseOf(world, shared);
  const all = elections(world, shared, 20);
  await world.own.leaseClient.leaseRevoke({ ID: BigInt(`0x${lease}`).toString() });
  await allLead(all);
});

test('one waits for a foreign candidate, and the others lead', async ({ world, client }) => {
  await world.own.put(`${world.prefix}e3/1234`).value('foreign');
  const all = elections(world, client(), 20);
  const led = all.map((one) => one.campaign());
  await within(SOON_MS, 'the others lead', Promise.all(led.filter((_, n) => n !== 3)));
  expect(all[3]!.status).toMatchObject({ state: 'waiting', leader: { value: 'foreign' } });
  await world.own.delete().key(`${world.prefix}e3/1234`);
  await within(SOON_MS, 'it leads', led[3]!);
});

test('a queue too large for one answer affects no other election', async ({ world, client }) => {
  for (let n = 0; n < 4; n++) await world.own.put(`${world.prefix}e3/1/${n}`).value('x'.repeat(1_200_000));
  await allLead(elections(world, client(), 20));
});

/** Twenty elections behind a proxy, with an open session. */
async function behindProxy(
  world: World,
  proxy: FaultyProxy,
): Promise<{ readonly all: Election[]; readonly abort: AbortController }> {
  const client = world.client({ hosts: proxy.endpoint });
  await world.election(client, 'first').campaign();
  const abort = new AbortController();
  const all = names(20).map((name, n) =>
    world.election(client, name, n === ABORTED ? { signal: abort.signal } : {}),
  );
  return { all, abort };
}

const ABORTED = 7;

test('S1: a batch with an unknown outcome: all lead, each with one key', async ({ world }) => {
  await using proxy = await startProxy({ target: world.etcd.endpoints[0]! });
  const { all } = await behindProxy(world, proxy);
  proxy.loseReplies();
  const led = all.map((one) => one.campaign());
  await eventually(async () => expect(await world.keys('e19')).toHaveLength(1), { withinMs: SOON_MS });
  await eventually(() => proxy.bytesLost > 0, { withinMs: SOON_MS });
  await proxy.restore();
  const terms = await within(2 * SOON_MS, 'all lead', Promise.all(led));
  for (const [n, name] of names(20).entries()) {
    const { kvs } = await world.own.getAll().prefix(`${world.prefix}${name}/`).exec();
    expect(kvs.map(({ create_revision }) => BigInt(create_revision))).toEqual([terms[n]!.fencingToken]);
  }
});

test('one is aborted during the batch: the others lead, and its key is deleted', async ({ world }) => {
  await using proxy = await startProxy({ target: world.etcd.endpoints[0]! });
  const { all, abort } = await behindProxy(world, proxy);
  proxy.stall('down');
  const led = all.map((one) => one.campaign());
  await eventually(async () => expect(await world.keys(`e${ABORTED}`)).toHaveLength(1), {
    withinMs: SOON_MS,
  });
  abort.abort();
  proxy.resume();
  await expect(led[ABORTED]).rejects.toMatchObject({ code: 'ELECTION_CLOSED' });
  const terms = await within(SOON_MS, 'the others lead', Promise.all(led.filter((_, n) => n !== ABORTED)));
  expect(revisionsOf(terms), 'none of them had to enter again').toBe(2);
  await eventually(async () => expect(await world.keys(`e${ABORTED}`)).toEqual([]), { withinMs: SOON_MS });
});

test.for([
  ['fewer operations than we send', '--max-txn-ops=16', 'v'],
  ['smaller requests than we send', '--max-request-bytes=65536', 'v'.repeat(12_000)],
] as const)('an etcd that takes %s: all lead', async ([, flag, value], { world }) => {
  const etcd = await startEtcd({ extraArgs: [flag] });
  const client = new Client({ hosts: etcd.endpoints });
  const all = elections(world, client, 64);
  try {
    await allLead(all, () => value);
  } finally {
    await Promise.all(all.map((one) => one.close()));
    client.close();
    await etcd.stop();
  }
});

test('L3: a role may write only some of the keys: those lead, the others are refused', async ({ world }) => {
  const etcd = await startEtcd();
  const root = new Client({ hosts: etcd.endpoints });
  await root.user('root').create('secret');
  await root.role('root').create();
  await root.user('root').addRole('root');
  const role = root.role('some');
  await role.create();
  for (const name of names(20).slice(0, 17))
    await role.grant({ permission: 'Readwrite', range: root.range({ prefix: `p/${name}/` }) });
  await root.user('service').create('secret');
  await root.user('service').addRole('some');
  await root.auth.authEnable();
  const client = new Client({ hosts: etcd.endpoints, auth: { username: 'service', password: 'secret' } });
  const all = elections(world, client, 20, 'p/');
  try {
    const outcomes = await within(
      2 * SOON_MS,
      'all outcomes',
      Promise.allSettled(all.map((one) => one.campaign())),
    );
    const refused = outcomes.map(({ status }) => status === 'rejected');
    expect(refused).toEqual(names(20).map((_, n) => n >= 17));
  } finally {
    await Promise.all(all.map((one) => one.close()));
    client.close();
    root.close();
    await etcd.stop();
  }
});
