import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { promisify } from 'node:util';
import type { Campaign as TheirCampaign } from 'etcd3';
import { AlreadyStandingError } from 'etcd-election';
import { describe, expect, onTestFinished } from 'vitest';
import { eventually, within } from '../support/eventually.ts';
import { SOON_MS, test, type World } from '../support/world.ts';

describe('names do not collide', () => {
  test('one name begins with another', async ({ candidate }) => {
    const [p, p2] = [candidate('alice', { election: 'p' }), candidate('bob', { election: 'p2' })];
    await p.campaign();
    await p2.campaign(); // succeeds at once, although p has a leader
    expect((await p.election.candidates()).map(({ value }) => value)).toEqual(['alice']);
    expect((await p2.election.candidates()).map(({ value }) => value)).toEqual(['bob']);
  });

  test('keys below our keys do not lead and do not count', async ({ candidate, world, prefix }) => {
    await world.own.put(`${prefix}p/q/1`).value('older').exec();
    const alice = candidate('alice', { election: 'p' });
    await alice.campaign();
    await world.own.put(`${prefix}p/q/2`).value('younger').exec();
    expect((await alice.election.candidates()).map(({ value }) => value)).toEqual(['alice']);
    const bob = candidate('bob', { election: 'p' });
    void bob.campaign();
    await bob.queued();
    expect(bob.election.status.position).toBe(2);
    await world.own.delete().prefix(`${prefix}p/q/`).exec();
    expect(bob.election.status).toMatchObject({ state: 'waiting', position: 2 });
  });

  test('the prefix of one is the name of the other', async ({ candidate, prefix }) => {
    await candidate('alice', { election: 'q' }).campaign();
    await candidate('bob', { election: 'x', prefix: `${prefix}q/` }).campaign();
  });

  test('names in all kinds of letters', async ({ candidate }) => {
    for (const name of ['Ünï', '主', 'a b', '.', '%2f', '\\'])
      expect((await candidate('alice', { election: name }).campaign()).isCurrent()).toBe(true);
  });

  test('elections with different TTLs on one client compete normally', async ({ candidate, client }) => {
    const own = client();
    const alice = candidate('alice', { client: own, ttlSeconds: 6 });
    const bob = candidate('bob', { client: own, ttlSeconds: 7 });
    await alice.campaign();
    void bob.campaign();
    await bob.queued();
    await alice.election.resign();
    await bob.elected();
  });
});

describe('two elections of one name on one client and TTL', () => {
  test('the second is refused with the reason until the first has resigned or closed', async ({
    candidate,
    client,
  }) => {
    const own = client();
    const [first, second] = [candidate('first', { client: own }), candidate('second', { client: own })];
    await first.campaign();
    const refused = second.campaign();
    await expect(refused).rejects.toBeInstanceOf(AlreadyStandingError);
    await expect(refused).rejects.toThrow(/"e" already has a candidate of another Election with this client/);
    await expect(second.election.lead(async () => undefined)).rejects.toBeInstanceOf(AlreadyStandingError);

    await first.election.resign();
    await second.campaign();
    await expect(first.campaign()).rejects.toBeInstanceOf(AlreadyStandingError);
    await second.election.close();
    await first.campaign();
  });

  test('reading needs no campaign', async ({ candidate, client, election }) => {
    const own = client();
    await candidate('first', { client: own }).campaign();
    expect((await election(own).leader())?.value).toBe('first');
  });

  test('another prefix is another election', async ({ candidate, client, prefix }) => {
    const own = client();
    await candidate('first', { client: own }).campaign();
    await candidate('second', { client: own, prefix: `${prefix}other/` }).campaign();
  });
});

describe("etcd3's own Election", () => {
  function theirs(world: World, value: string): TheirCampaign {
    // etcd3 adds `election/` itself, and the name and a slash: the same queue.
    const campaign = world.client().namespace(world.prefix).election('e', 60).campaign(value);
    campaign.on('error', () => undefined);
    return campaign;
  }
  /** etcd3 would miss a delete that comes together with the answer to its watch. */
  const isWatching = (campaign: TheirCampaign): boolean => {
    const { namespace } = campaign as unknown as {
      namespace: { watchManager: { watchers: readonly { id: string | null }[] } };
    };
    return namespace.watchManager.watchers.some(({ id }) => id !== null);
  };

  test('takes turns with ours', async ({ world, candidate, prefix }) => {
    const ours = { prefix: `${prefix}election/` };
    const [alice, carol] = [candidate('alice', ours), candidate('carol', ours)];
    await alice.campaign();
    const bob = theirs(world, 'bob');
    const elected = once(bob, 'elected');
    await eventually(() => isWatching(bob), { withinMs: SOON_MS });
    void carol.campaign();
    await carol.queued();
    expect(carol.election.status.position).toBe(3);

    await alice.election.resign();
    await within(SOON_MS, 'theirs', elected);
    await eventually(() => carol.election.status.leader?.value === 'bob', { withinMs: SOON_MS });
    expect(carol.election.status.state).toBe('waiting');

    await bob.resign();
    await carol.elected();
  });
});

describe('etcdctl elect', () => {
  const run = promisify(execFile);

  const MISSING = 'there is no etcdctl on this machine';

  /** Campaigns with etcdctl until it is stopped. */
  function etcdctlElect(
    etcdctl: string,
    world: World,
    value: string,
    name = `${world.prefix}e`,
  ): { child: ChildProcess; said: () => string } {
    const child = spawn(etcdctl, ['elect', name, value], {
      env: { ...process.env, ETCDCTL_API: '3', ETCDCTL_ENDPOINTS: world.etcd.endpoints.join(',') },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let said = '';
    child.stdout.on('data', (data: Buffer) => (said += data.toString()));
    onTestFinished(async () => {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill('SIGKILL');
        await once(child, 'exit');
      }
    });
    return { child, said: () => said };
  }

  test('takes turns with ours', async ({ world, candidate, skip }) => {
    const etcdctl = world.etcd.etcdctl ?? skip(MISSING);
    const [alice, carol] = [candidate('alice'), candidate('carol')];
    await alice.campaign();
    const bob = etcdctlElect(etcdctl, world, 'bob');
    await eventually(async () => (await world.keys()).length === 2, { withinMs: SOON_MS });
    void carol.campaign();
    await carol.queued();
    expect(carol.election.status.position).toBe(3);

    await alice.election.resign();
    await eventually(() => bob.said().includes('bob'), { withinMs: SOON_MS });
    await eventually(() => carol.election.status.leader?.value === 'bob', { withinMs: SOON_MS });
    expect(carol.election.status.state).toBe('waiting');

    bob.child.kill('SIGINT');
    await carol.elected();
  });

  test('takes turns with ours under a name that begins with a slash', async ({ world, candidate, skip }) => {
    const etcdctl = world.etcd.etcdctl ?? skip(MISSING);
    const alice = candidate('alice', { election: 'report', prefix: `/${world.prefix}` });
    const term = await alice.campaign();
    const bob = etcdctlElect(etcdctl, world, 'bob', `/${world.prefix}report`);
    await eventually(async () => (await alice.election.candidates()).length === 2, { withinMs: SOON_MS });
    term.stepDown();
    await eventually(() => alice.election.status.leader?.value === 'bob', { withinMs: SOON_MS });
    bob.child.kill('SIGINT');
    await alice.elected();
  });

  test('-l shows our leader', async ({ world, candidate, skip }) => {
    const etcdctl = world.etcd.etcdctl ?? skip(MISSING);
    const term = await candidate('alice').campaign('10.0.0.7');
    const child = spawn(etcdctl, ['elect', '-l', `${world.prefix}e`], {
      env: { ...process.env, ETCDCTL_API: '3', ETCDCTL_ENDPOINTS: world.etcd.endpoints.join(',') },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let said = '';
    child.stdout.on('data', (data: Buffer) => (said += data.toString()));
    await eventually(() => said.includes('10.0.0.7'), { withinMs: SOON_MS });
    expect(said.split('\n').slice(0, 2)).toEqual([term.key, '10.0.0.7']);
    child.kill('SIGKILL');
    await once(child, 'exit');
  });

  test('a plain `etcdctl get` shows the value as text', async ({ world, candidate, skip }) => {
    const etcdctl = world.etcd.etcdctl ?? skip(MISSING);
    const term = await candidate('alice').campaign('Zürich');
    const { stdout } = await run(etcdctl, ['get', '--print-value-only', term.key], {
      env: { ...process.env, ETCDCTL_API: '3', ETCDCTL_ENDPOINTS: world.etcd.endpoints.join(',') },
    });
    expect(stdout).toBe('Zürich\n');
  });
});
