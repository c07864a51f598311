import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { type ChildProcess, spawn } from 'node:child_process';
import { getEventListeners, once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { closeSync, existsSync, openSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ElectionClosedError, liveElections, RefusedError } from 'etcd-election';
import { startProxy } from 'etcd-election/dev';
import { afterAll, beforeAll, describe, expect, onTestFinished } from 'vitest';
import { eventually, within } from '../support/eventually.ts';
import { abortOf, SOON_MS, test, TTL_SECONDS, type World } from '../support/world.ts';

describe('close()', () => {
  test('resigns for good, and deletes the key and the lease', async ({ candidate, world }) => {
    const alice = candidate('alice');
    const term = await alice.campaign();
    await alice.election.close();
    expect(alice.election.status).toMatchObject({ state: 'closed', term: undefined });
    expect(await world.keys()).toEqual([]);
    expect((await world.own.leaseClient.leaseTimeToLive({ ID: term.leaseId, keys: false })).TTL).toBe('-1');
    expect(term.signal.reason).toMatchObject({ reason: 'closed' });
    await expect(alice.campaign()).rejects.toBeInstanceOf(ElectionClosedError);
    await expect(alice.election.lead(async () => undefined)).rejects.toBeInstanceOf(ElectionClosedError);
  });

  test('`await using` closes', async ({ candidate, world }) => {
    {
      await using one = candidate('alice').election;
      await one.campaign();
      expect(await world.keys()).toHaveLength(1);
    }
    expect(await world.keys()).toEqual([]);
  });

  test('rejects a waiting campaign, and deletes its key', async ({ candidate, world }) => {
    const [alice, bob] = [candidate('alice'), candidate('bob')];
    await alice.campaign();
    const waiting = bob.campaign();
    await bob.queued();
    await bob.election.close();
    await expect(waiting).rejects.toBeInstanceOf(ElectionClosedError);
    expect(await world.keys()).toHaveLength(1);
  });

  test('cancels a campaign() that waits for the end of an earlier one: the last call counts', async ({
    candidate,
    world,
  }) => {
    for (const end of ['resign', 'close'] as const) {
      const alice = candidate('alice');
      await alice.campaign();
      void alice.election.resign();
      const again = alice.campaign();
      const resumed = alice.campaign();
      await alice.election[end]();
      await expect(again).rejects.toBeInstanceOf(ElectionClosedError);
      await expect(resumed).rejects.toBeInstanceOf(ElectionClosedError);
      expect(alice.election.health().standing).toBe(false);
      expect(await world.keys()).toEqual([]);
    }
  });

  test('before campaign() cancels nothing: the campaign begins when the earlier one has ended', async ({
    candidate,
  }) => {
    const alice = candidate('alice');
    await alice.campaign();
    void alice.election.resign();
    void alice.election.resign();
    await alice.campaign();
    expect(alice.election.isCurrent()).toBe(true);
  });

  test('called twice or concurrently acts once, and without a campaign does nothing', async ({
    candidate,
    election,
    client,
  }) => {
    const alice = candidate('alice');
    await alice.campaign();
    await Promise.all([alice.election.close(), alice.election.close(), alice.election.resign()]);
    await alice.election.close();
    await election(client(), 'unused').close();
    expect(liveElections()).not.toContain(alice.election);
  });

  test('right after campaign(), before any request, leaves no key', async ({ candidate, world }) => {
    const alice = candidate('alice');
    const campaign = alice.campaign();
    await alice.election.close();
    await expect(campaign).rejects.toBeInstanceOf(ElectionClosedError);
    expect(await world.keys()).toEqual([]);
  });

  test('at every step of an entry leaves no key', async ({ candidate, world }) => {
    for (let delay = 0; delay < 12; delay++) {
      const alice = candidate('alice', { election: `e${delay}` });
      const campaign = alice.campaign();
      campaign.catch(() => undefined);
      await new Promise((resolve) => setTimeout(resolve, delay));
      await alice.election.close();
    }
    await eventually(
      async () => {
        const { kvs } = await world.own.getAll().prefix(world.prefix).exec();
        expect(kvs.map(({ key }) => key.toString())).toEqual([]);
      },
      { withinMs: SOON_MS },
    );
  });

  test('never takes longer than its bound without etcd', async ({ candidate, etcd }) => {
    await using proxy = await startProxy({ target: etcd.endpoints[0]! });
    const alice = candidate('alice', { hosts: proxy.endpoint });
    await alice.campaign();
    proxy.stall();
    const callLimitMs = 2_500;
    await within(2 * callLimitMs + 500, 'close()', alice.election.close());
    proxy.resume();
  });

  test('never takes longer than its bound during an entry that etcd answers late', async ({
    candidate,
    etcd,
    world,
  }) => {
    await using proxy = await startProxy({ target: etcd.endpoints[0]! });
    const alice = candidate('alice', { hosts: proxy.endpoint, drainTimeoutMs: 0 });
    const opened = (): void => {
      unsubscribe('etcd-election:session.opened', opened);
      proxy.slow(1_100); // 2.2 s for a round trip: every call is answered just within its limit of 2.5 s
    };
    subscribe('etcd-election:session.opened', opened);
    alice.campaign().catch(() => undefined);
    await eventually(async () => expect(await world.keys()).toHaveLength(1), { withinMs: SOON_MS });
    expect(alice.election.status.state).toBe('entering'); // the answer is on its way
    const callLimitMs = 2_500;
    await within(2 * callLimitMs + 500, 'close()', alice.election.close());
  });

  test('leaves no listener on the signal of the caller', async ({ election, client }) => {
    const { signal } = new AbortController();
    const one = election(client(), 'e', { signal });
    await one.campaign();
    await one.close();
    expect(getEventListeners(signal, 'abort')).toEqual([]);
  });

  test('of one election does not affect the others of the client', async ({ candidate, client, world }) => {
    const own = client();
    const [a, b] = [
      candidate('a', { client: own, election: 'a' }),
      candidate('b', { client: own, election: 'b' }),
    ];
    await a.campaign();
    const term = await b.campaign();
    await a.election.close();
    expect(await world.keys('a')).toEqual([]);
    expect(await world.keys('b')).toEqual([term.key]);
    expect(term.isCurrent()).toBe(true);
    await a.client.put(`${world.prefix}still`).value('works').exec();
  });
});

describe('the signal option', () => {
  test('F5: a resignation by an aborted signal still sends the release', async ({ candidate, world }) => {
    const stop = new AbortController();
    const alice = candidate('alice', { signal: stop.signal });
    const term = await alice.campaign();
    stop.abort();
    expect(term.signal.reason).toMatchObject({ reason: 'aborted' });
    await eventually(async () => expect(await world.keys()).toEqual([]), { withinMs: SOON_MS });
    await eventually(() => alice.election.status.state === 'closed', { withinMs: SOON_MS });
    await expect(alice.campaign()).rejects.toThrow('its signal aborted');
  });

  test('an aborted signal at construction: the election is closed', async ({ candidate, world }) => {
    const alice = candidate('alice', { signal: AbortSignal.abort() });
    await expect(alice.campaign()).rejects.toBeInstanceOf(ElectionClosedError);
    expect(await world.keys()).toEqual([]);
  });
});

describe('a client that its owner closes', () => {
  test('during a term: the term ends within a third of the TTL, and the campaign with a typed error', async ({
    candidate,
    client,
    log,
  }) => {
    const own = client();
    const alice = candidate('alice', { client: own });
    const term = await alice.campaign();
    own.close();
    await within((TTL_SECONDS * 1_000) / 3 + SOON_MS, 'the end of the term', abortOf(term.signal));
    await eventually(() => alice.election.status.state === 'idle', { withinMs: SOON_MS });
    expect(log.of('campaign.ended')[0]).toMatchObject({ reason: 'refused', err: { type: 'RefusedError' } });
    await expect(alice.campaign()).rejects.toBeInstanceOf(RefusedError);
  });

  test('before campaign(): the call is refused with advice', async ({ candidate, client }) => {
    const own = client();
    own.close();
    const alice = candidate('alice', { client: own });
    const refused = within(SOON_MS, 'the refusal', alice.campaign());
    await expect(refused).rejects.toBeInstanceOf(RefusedError);
    await expect(alice.campaign()).rejects.toThrow(/create a new client/);
    await expect(alice.election.leader()).rejects.toBeInstanceOf(RefusedError);
  });
});

describe('as a process', () => {
  let folder: string;
  let bundle: string;

  beforeAll(async () => {
    // Inside the project, so that it finds the packages that are not bundled.
    folder = await mkdtemp(
      join(fileURLToPath(new URL('../..', import.meta.url)), 'node_modules', '.ending-'),
    );
    bundle = join(folder, 'ending-child.mjs');
    await build({
      entryPoints: [fileURLToPath(new URL('../support/ending-child.ts', import.meta.url))],
      outfile: bundle,
      bundle: true,
      format: 'esm',
      platform: 'node',
      packages: 'external',
      alias: { 'etcd-election': fileURLToPath(new URL('../../src/index.ts', import.meta.url)) },
      target: 'node20',
    });
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  interface Service {
    readonly child: ChildProcess;
    readonly said: () => string;
    readonly complained: () => string;
    readonly exit: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  }

  function service(does: string, world: World, output: number | 'pipe' = 'pipe'): Service {
    const child = spawn(process.execPath, [bundle, does, world.etcd.endpoints[0]!, world.prefix], {
      stdio: ['ignore', output, 'pipe'],
    });
    let said = '';
    let complained = '';
    child.stdout?.on('data', (data: Buffer) => (said += data.toString()));
    child.stderr!.on('data', (data: Buffer) => (complained += data.toString()));
    const exit = once(child, 'close').then(([code, signal]) => ({
      code: code as number | null,
      signal: signal as NodeJS.Signals | null,
    }));
    onTestFinished(async () => {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
      await exit;
    });
    return { child, said: () => said, complained: () => complained, exit };
  }

  const STARTED_MS = 20_000; // a cold start on a busy machine

  test.for(['abort on SIGTERM', 'lead until SIGTERM'])(
    'F5: %s: the key is deleted without waiting for the lease, and the process exits',
    async (does, { world }) => {
      const { child, said, complained, exit } = service(does, world);
      await eventually(() => said().includes('leads'), { withinMs: STARTED_MS });
      expect(await world.keys()).toHaveLength(1);
      child.kill('SIGTERM');
      expect(await within(SOON_MS, `the end of the process ${complained()}`, exit)).toEqual({
        code: 0,
        signal: null,
      });
      expect(await world.keys()).toEqual([]); // without the release its lease would last 60 s
    },
  );

  test('process.exit() in a term: the log says what it costs', async ({ world }) => {
    const { child, said, exit } = service('exit on SIGTERM', world);
    await eventually(() => said().includes('leads'), { withinMs: STARTED_MS });
    child.kill('SIGTERM');
    expect(await within(SOON_MS, 'the end of the process', exit)).toEqual({ code: 0, signal: null });
    expect(said()).toContain('Await election.close() before process.exit()');
  });

  test('process.exit() in onLeader loses no log line', async ({ world }) => {
    const { said, exit } = service('exit in onLeader', world);
    expect(await within(STARTED_MS, 'the end of the process', exit)).toEqual({ code: 3, signal: null });
    const events = said()
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as { event: string }).event);
    expect(events).toEqual(['candidate.entered', 'term.started', 'usage.unusual']);
  });

  test.skipIf(!existsSync('/dev/full'))(
    'G5: a log on a full disk neither ends the process nor keeps it from ending',
    async ({ world }) => {
      const full = openSync('/dev/full', 'w');
      onTestFinished(() => closeSync(full));
      const { complained, exit } = service('log what cannot be written', world, full);
      expect(await within(STARTED_MS, 'the end of the process', exit)).toEqual({ code: 0, signal: null });
      expect(complained()).toBe('closed\nexits\n');
    },
  );

  test('un-awaited calls and unhandled refusals never end the process', async ({ world }) => {
    const { said, complained, exit } = service('nobody listens', world);
    expect(await within(STARTED_MS, 'the end of the process', exit)).toEqual({ code: 0, signal: null });
    expect(complained()).toBe('');
    expect(said()).toBe('survived\n');
  });

  test('after close() nothing keeps the process alive', async ({ world }) => {
    const { said, exit } = service('close and end', world);
    await eventually(() => said().includes('closed'), { withinMs: STARTED_MS });
    expect(await within(SOON_MS, 'the end of the process', exit)).toEqual({ code: 0, signal: null });
  });
});
