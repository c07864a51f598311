import { build } from 'esbuild';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { EtcdStartError, findEndpoints, provideEtcd, startEtcd } from 'etcd-election/dev';
import { afterEach, describe, expect, onTestFinished, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { etcdOverHttp } from '../support/etcd-over-http.ts';

// The launcher that all other tests stand on: each test here starts an etcd of its own.

const HEARTBEAT_MS = 100;
const ELECTION_MS = 1000;
/** etcd draws its election timeout from one to two times the setting, and two candidates may split the votes once. */
const NEW_LEADER_MS = 4 * ELECTION_MS;

afterEach(async () => {
  const ours = (): string[] => process.getActiveResourcesInfo().filter((name) => /^(Process|TCP)/.test(name));
  await expect.poll(ours, { message: 'processes or sockets left' }).toEqual([]);
});

describe('one member', () => {
  test('answers as soon as it is said to be started', async () => {
    await using etcd = await startEtcd();

    expect(etcd.version).toMatch(/^\d+\.\d+\.\d+/);
    expect(etcd.endpoints).toEqual([etcd.members[0]?.endpoint]);
    const { put, get } = etcdOverHttp(etcd.endpoints[0] ?? '');
    await put('leader', 'alice');
    expect(await get('leader')).toBe('alice');
  });

  test('killed, it refuses connections, and started again it has its data and its endpoint', async () => {
    await using etcd = await startEtcd();
    const [member] = etcd.members;
    const { put, get } = etcdOverHttp(etcd.endpoints[0] ?? '');
    await put('leader', 'alice');
    const pid = member?.pid;

    await member?.kill();
    expect(member?.pid).toBeUndefined();
    await expect(get('leader')).rejects.toThrow('ECONNREFUSED');

    await member?.start();
    expect(member?.pid).not.toBe(pid);
    expect(await get('leader')).toBe('alice');
  });

  test('frozen, it says nothing; thawed, it goes on', async () => {
    await using etcd = await startEtcd();
    const [member] = etcd.members;
    const [endpoint = ''] = etcd.endpoints;
    const { put, get } = etcdOverHttp(endpoint);
    await put('leader', 'alice');

    member?.freeze();
    // Each of its threads stops when the kernel next comes by it: on a busy machine not at once.
    const hasty = etcdOverHttp(endpoint, { timeoutMs: 3 * HEARTBEAT_MS });
    await eventually(() => expect(hasty.get('leader')).rejects.toThrow('aborted'), {
      withinMs: NEW_LEADER_MS,
    });
    member?.thaw();

    expect(await get('leader')).toBe('alice');
  });

  test('asked twice to start, it runs once; asked twice to stop, it is not surprised', async () => {
    await using etcd = await startEtcd();
    const [member] = etcd.members;
    const pid = member?.pid;

    await Promise.all([member?.start(), member?.start()]);
    expect(member?.pid).toBe(pid);

    await Promise.all([member?.stop(), member?.stop()]);
    expect(member?.pid).toBeUndefined();
  });

  test('keeps the last lines of its log, and no more', async () => {
    await using etcd = await startEtcd({ logLines: 3 });

    expect(etcd.members[0]?.log().split('\n')).toHaveLength(3);
  });

  test('takes more flags', async () => {
    await using etcd = await startEtcd({ extraArgs: ['--max-request-bytes=10000'] });

    const { put } = etcdOverHttp(etcd.endpoints[0] ?? '');
    await expect(put('leader', 'a'.repeat(10_001))).rejects.toThrow('request is too large');
  });
});

describe('the data', () => {
  test('goes with a cluster whose folder was temporary', async () => {
    const etcd = await startEtcd();
    const folder = dirname(etcd.members[0]?.dataDir ?? '');
    expect(existsSync(folder)).toBe(true);

    await etcd.stop();

    expect(existsSync(folder)).toBe(false);
  });

  test('stays in a folder that we named, for the next cluster', async () => {
    const dataDir = await temporaryFolder();
    const first = await startEtcd({ dataDir });
    await etcdOverHttp(first.endpoints[0] ?? '').put('leader', 'alice');
    await first.stop();

    await using second = await startEtcd({ dataDir });

    expect(await etcdOverHttp(second.endpoints[0] ?? '').get('leader')).toBe('alice');
    await expect(startEtcd({ dataDir, members: 3 })).rejects.toThrow('is not empty');
  });
});

describe('three members', () => {
  test('go on without one of them, and without its freezing', async () => {
    await using etcd = await startEtcd({ members: 3 });
    const [first, second, third] = etcd.members;
    const { put, get } = etcdOverHttp(third?.endpoint ?? '', { timeoutMs: ELECTION_MS });
    const eventually = { timeout: NEW_LEADER_MS, interval: HEARTBEAT_MS };

    await first?.kill();
    await expect.poll(() => succeeds(put('leader', 'alice')), eventually).toBe(true);
    await first?.start();

    second?.freeze();
    await expect.poll(() => succeeds(put('leader', 'bob')), eventually).toBe(true);
    second?.thaw();

    await etcd.restart();
    expect(await get('leader')).toBe('bob');
  });

  test('one is parted from the others: they go on, it answers clients and agrees to nothing, until it is back', async () => {
    await using etcd = await startEtcd({ members: 3, peerNetwork: true });
    const [first, second] = etcd.members;
    const parted = etcdOverHttp(first?.endpoint ?? '', { timeoutMs: ELECTION_MS });
    const others = etcdOverHttp(second?.endpoint ?? '', { timeoutMs: ELECTION_MS });
    const eventually = { timeout: NEW_LEADER_MS, interval: HEARTBEAT_MS };

    first?.isolate();
    await expect.poll(() => succeeds(others.put('leader', 'alice')), eventually).toBe(true);
    // A key of its own: what was asked of it in vain may be done yet, when it is back.
    expect(await succeeds(parted.put('pretender', 'bob'))).toBe(false);
    expect(await others.get('pretender')).toBeUndefined();

    first?.rejoin();
    await expect.poll(() => succeeds(parted.put('leader', 'carol')), eventually).toBe(true);
    expect(await others.get('leader')).toBe('carol');
  });

  test('members that do not speak through us cannot be parted', async () => {
    await using etcd = await startEtcd();

    expect(() => etcd.members[0]?.isolate()).toThrow('peerNetwork: true');
  });

  test('all end, the frozen one too', async () => {
    const etcd = await startEtcd({ members: 3 });
    etcd.members[1]?.freeze();

    await etcd.stop();

    expect(await Promise.all(etcd.endpoints.map(refuses))).toEqual([true, true, true]);
  });
});

describe('when etcd does not start', () => {
  test('the error ends with its log, and nothing runs', async () => {
    const error = await startEtcd({ extraArgs: ['--no-such-flag'] }).catch((reason: unknown) => reason);

    expect(error).toBeInstanceOf(EtcdStartError);
    expect(error).toMatchObject({ code: 'ETCD_START_FAILED', log: expect.stringContaining('-no-such-flag') });
  });

  test('because it is slow, we do not wait for ever', async () => {
    await expect(startEtcd({ startTimeoutMs: HEARTBEAT_MS / 2 })).rejects.toThrow('was not ready in 50 ms');
  });

  test('because the program is none, we say so', async () => {
    await expect(startEtcd({ binary: '/no/such/etcd' })).rejects.toThrow('ENOENT');
  });
});

describe('the process that started etcd', () => {
  test.for(['exits', 'throws', 'is killed', 'is interrupted'] as const)(
    '%s, and etcd goes with it',
    async (end) => {
      const { child, endpoint } = await programWithEtcd();
      expect(await refuses(endpoint)).toBe(false);

      const closed = once(child, 'close');
      if (end === 'is killed') child.kill('SIGKILL');
      else if (end === 'is interrupted') child.kill('SIGINT');
      else child.stdin.end(end);
      await closed;

      await expect.poll(() => refuses(endpoint)).toBe(true);
    },
  );

  /** A Node.js process that starts an etcd, prints its endpoint, and ends in the way that it is told. */
  async function programWithEtcd() {
    const folder = await temporaryFolder();
    const bundle = join(folder, 'dev.mjs');
    await build({
      entryPoints: ['src/dev/index.ts'],
      bundle: true,
      platform: 'node',
      format: 'esm',
      outfile: bundle,
    });
    const program = join(folder, 'program.mjs');
    await writeFile(
      program,
      `import { startEtcd } from './dev.mjs';
       const etcd = await startEtcd();
       console.log(etcd.endpoints.join());
       for await (const end of process.stdin) {
         if (String(end) === 'throws') throw new Error('as asked');
         process.exit();
       }`,
    );
    const child = spawn(process.execPath, [program], { stdio: ['pipe', 'pipe', 'ignore'] });
    onTestFinished(() => void child.kill('SIGKILL'));
    const [output] = (await once(child.stdout, 'data')) as [Buffer];
    return { child, endpoint: output.toString().trim() };
  }
});

describe('ETCD_ENDPOINTS', () => {
  test.for<[string | undefined, string[] | undefined]>([
    [undefined, undefined],
    [' ', undefined],
    ['127.0.0.1:2379', ['http://127.0.0.1:2379']],
    ['https://a:2379, b:2379,', ['https://a:2379', 'http://b:2379']],
  ])('%j names %j', ([value, endpoints]) => {
    expect(findEndpoints({ ETCD_ENDPOINTS: value })).toEqual(endpoints);
  });

  test('that is no URL is a mistake worth hearing of', () => {
    expect(() => findEndpoints({ ETCD_ENDPOINTS: 'a b' })).toThrow('ETCD_ENDPOINTS: not a URL: a b');
  });

  test('comes before anything that we would start, and is not ours to stop', async () => {
    await using etcd = await startEtcd();
    const before = process.env['ETCD_ENDPOINTS'];
    process.env['ETCD_ENDPOINTS'] = etcd.endpoints.join();
    onTestFinished(() => {
      if (before === undefined) delete process.env['ETCD_ENDPOINTS'];
      else process.env['ETCD_ENDPOINTS'] = before;
    });

    const provided = await provideEtcd();
    expect(provided).toMatchObject({ managed: false, endpoints: etcd.endpoints });
    await provided.stop();

    expect(await refuses(etcd.endpoints[0] ?? '')).toBe(false);
  });
});

async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'etcd-election-test-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  return folder;
}

function succeeds(promise: Promise<unknown>): Promise<boolean> {
  return promise.then(
    () => true,
    () => false,
  );
}

/** Whether nobody listens there. (A process id tells less: a dead process keeps its own until somebody asks how it ended.) */
async function refuses(endpoint: string): Promise<boolean> {
  return etcdOverHttp(endpoint)
    .get('any')
    .then(
      () => false,
      (error: NodeJS.ErrnoException) => error.code === 'ECONNREFUSED',
    );
}
