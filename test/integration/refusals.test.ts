import { Etcd3 } from 'etcd3';
import { failedElections, RefusedError } from 'etcd-election';
import { type EtcdCluster, startEtcd, startProxy } from 'etcd-election/dev';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { eventually, within } from '../support/eventually.ts';
import { expectHeld, watch } from '../support/hot-loop.ts';
import { abortOf, SOON_MS, test } from '../support/world.ts';

// Our own etcd, because we enable authentication.

describe('an etcd with authentication', () => {
  let cluster: EtcdCluster;
  let root: Etcd3;

  beforeAll(async () => {
    cluster = await startEtcd();
    const open = new Etcd3({ hosts: cluster.endpoints });
    const rootUser = open.user('root');
    await rootUser.create('secret');
    await open.role('root').create();
    await rootUser.addRole('root');
    const reader = open.role('reader');
    await reader.create();
    await reader.grant({ permission: 'Read', range: open.range({ prefix: '' }) });
    const service = open.role('service');
    await service.create();
    await service.grant({ permission: 'Readwrite', range: open.range({ prefix: 'mine/' }) });
    for (const name of ['reader', 'service']) {
      await open.user(name).create('secret');
      await open.user(name).addRole(name);
    }
    await open.auth.authEnable();
    open.close();
    root = new Etcd3({ hosts: cluster.endpoints, auth: { username: 'root', password: 'secret' } });
  });
  afterAll(async () => {
    root.close();
    await cluster.stop();
  });

  const as = (username: string, password = 'secret') => ({
    hosts: cluster.endpoints,
    auth: { username, password },
  });

  test('the right password and permission: it leads', async ({ candidate, client }) => {
    const alice = candidate('alice', { client: client(as('service')), prefix: 'mine/' });
    const term = await alice.campaign();
    expect(term.isCurrent()).toBe(true);
    expect((await alice.election.leader())?.value).toBe('alice');
  });

  test.for([
    ['a wrong password', 'service', 'wrong', 'mine/'],
    ['a user that does not exist', 'nobody', 'secret', 'mine/'],
    ['a role that can only read', 'reader', 'secret', 'mine/'],
    ['a prefix outside its role', 'service', 'secret', 'theirs/'],
  ] as const)(
    'L3: %s ends the campaign with a typed error',
    async ([, user, password, prefix], { candidate, client, log }) => {
      const alice = candidate('alice', { client: client(as(user, password)), prefix });
      const refused = within(SOON_MS, 'the refusal', alice.campaign());
      await expect(refused).rejects.toBeInstanceOf(RefusedError);
      await expect(refused).rejects.toMatchObject({
        code: 'ELECTION_REFUSED',
        retryable: false,
        election: 'e',
      });
      await expect(refused).rejects.toThrow(/check the user, its password/);
      expect(((await refused.catch((error: unknown) => error)) as Error).message).not.toContain(
        `"${password}"`,
      );
      expect(alice.election.status.state).toBe('idle');
      expect(log.of('campaign.ended')).toMatchObject([{ reason: 'refused' }]);
    },
  );

  test('without a user', async ({ candidate }) => {
    const alice = candidate('alice', { hosts: cluster.endpoints });
    await expect(within(SOON_MS, 'the refusal', alice.campaign())).rejects.toBeInstanceOf(RefusedError);
  });

  test('F7, G1: a loop around campaign() that is refused each time is held back', async ({
    candidate,
    client,
  }) => {
    const alice = candidate('alice', { client: client(as('service', 'wrong')), prefix: 'mine/' });
    expectHeld(await watch(() => alice.campaign()));
  });

  test('reads and observers are refused too', async ({ election, client }) => {
    const one = election(client(as('service')), 'e', { prefix: 'theirs/' });
    await expect(within(SOON_MS, 'the refusal', one.leader())).rejects.toBeInstanceOf(RefusedError);
    await expect(within(SOON_MS, 'the refusal', one.observe().next())).rejects.toBeInstanceOf(RefusedError);
  });

  test('campaign() works again when the cause is gone', async ({ candidate, client }) => {
    const alice = candidate('alice', { client: client(as('service')), prefix: 'granted later/' });
    await expect(alice.campaign()).rejects.toBeInstanceOf(RefusedError);
    await root
      .role('service')
      .grant({ permission: 'Readwrite', range: root.range({ prefix: 'granted later/' }) });
    expect((await within(2 * SOON_MS, 'the term', alice.campaign())).isCurrent()).toBe(true);
  });

  test('permission is revoked during a term: resign() still ends, and the lease frees the election', async ({
    candidate,
    client,
    log,
  }) => {
    const ttlSeconds = 4; // the lease must last until close(), also on a busy machine
    const prefix = 'withdrawn later/';
    const range = root.range({ prefix });
    await root.role('service').grant({ permission: 'Readwrite', range });
    const alice = candidate('alice', { client: client(as('service')), prefix, ttlSeconds });
    await alice.campaign();
    await root.role('service').revoke({ permission: 'Readwrite', range });

    await within(2 * SOON_MS, 'close()', alice.election.close());

    expect(log.of('release.failed')).toHaveLength(1);
    await eventually(async () => expect(await root.getAll().prefix(prefix).keys()).toEqual([]), {
      withinMs: ttlSeconds * 1_000 + SOON_MS,
    });
  });

  test('resign() while etcd refuses: health() is good from that call on, because no refusal ended the campaign', async ({
    candidate,
    client,
    log,
  }) => {
    const ttlSeconds = 2;
    const prefix = 'withdrawn before resign/';
    const range = root.range({ prefix });
    await root.role('service').grant({ permission: 'Readwrite', range });
    const { election } = candidate('alice', { client: client(as('service')), prefix, ttlSeconds });
    await election.campaign();
    await root.role('service').revoke({ permission: 'Readwrite', range });
    await eventually(() => log.of('candidate.refused').length > 0, {
      withinMs: ttlSeconds * 1_000 + 2 * SOON_MS,
    });
    expect(election.health()).toMatchObject({ healthy: false, standing: true });

    const resigned = election.resign();
    const atRest = { healthy: true, standing: false, reason: undefined };
    expect(election.health()).toMatchObject(atRest);
    await within(2 * SOON_MS, 'resign()', resigned);
    expect(election.health()).toMatchObject(atRest);
    expect(failedElections()).not.toContain(election);
  });
});

describe('an unavailable etcd', () => {
  test('refuses at the start: the campaign waits, and enters later', async ({ candidate, etcd, log }) => {
    await using proxy = await startProxy({ target: etcd.endpoints[0]! });
    proxy.cut();
    const alice = candidate('alice', { hosts: proxy.endpoint });
    const campaign = alice.campaign();
    await eventually(() => log.of('session.unavailable').length === 1, { withinMs: SOON_MS });
    expect(alice.election.status).toMatchObject({ state: 'entering', term: undefined, leader: undefined });

    await proxy.restore();
    const backWithinMs = 3_000; // L5
    expect((await within(backWithinMs + SOON_MS, 'the term', campaign)).isCurrent()).toBe(true);
  });

  test('is silent at the start: the campaign waits, and enters later', async ({ candidate, etcd }) => {
    await using proxy = await startProxy({ target: etcd.endpoints[0]! });
    proxy.stall();
    const alice = candidate('alice', { hosts: proxy.endpoint });
    const campaign = alice.campaign();
    await eventually(() => proxy.connections > 0, { withinMs: SOON_MS });
    proxy.resume();
    expect((await within(2 * SOON_MS, 'the term', campaign)).isCurrent()).toBe(true);
  });

  test('close() does not wait for it', async ({ candidate }) => {
    const alice = candidate('alice', { hosts: 'http://127.0.0.1:1' });
    const campaign = alice.campaign();
    campaign.catch(() => undefined);
    await eventually(() => alice.election.status.state === 'entering', { withinMs: SOON_MS });
    await within(SOON_MS, 'close()', alice.election.close());
    await expect(campaign).rejects.toMatchObject({ code: 'ELECTION_CLOSED' });
  });

  test("our failures do not open a breaker of the user's own client", async ({
    candidate,
    client,
    etcd,
    prefix,
  }) => {
    await using proxy = await startProxy({ target: etcd.endpoints[0]! });
    const own = client({ hosts: proxy.endpoint });
    const alice = candidate('alice', { client: own, ttlSeconds: 2 });
    await alice.campaign();
    proxy.stall();
    await abortOf(alice.election.status.term!.signal);
    proxy.resume();
    await alice.elected(SOON_MS);
    expect(await own.get(`${prefix}anything`).string()).toBeNull(); // a breaker of etcd3 stays open for 5 s
  });
});
