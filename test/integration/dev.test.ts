import { build } from 'esbuild';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { EtcdStartError, findEndpoints, provideEtcd, startEtcd } from 'etcd-election/dev';
import { afterEach, describe, expect, onTestFinished, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { etcdOverHttp } from '../support/etcd-over-http.ts';

// The launcher under all other tests. Each test here starts its own etcd.

const HEARTBEAT_MS = 100;
const ELECTION_MS = 1000;
/** The noise of a busy machine. */
const NOISE_MS = 5_000;
/** etcd draws its election timeout from one to two times the setting. One split vote may happen. */
const NEW_LEADER_MS = 4 * ELECTION_MS + NOISE_MS;

afterEach(async () => {
  const ours = (): string[] => process.getActiveResourcesInfo().filter((name) => /^(Process|TCP)/.test(name));
  await expect.poll(ours, { message: 'processes or sockets left' }).toEqual([]);
});

/** A folder with the entry point `dev` as one file, outside the package. */
async function folderWithDev(): Promise<string> {
  const folder = await temporaryFolder();
  await build({
    entryPoints: ['src/dev/index.ts'],
    bundle: true,
    platform: 'node',
    format: 'esm',
    outfile: join(folder, 'dev.mjs'),
  });
  return folder;
}

describe('one member', () => {
  test('answers as soon as start() resolves', async () => {
    await using etcd = await startEtcd();

    expect(etcd.version).toMatch(/^\d+\.\d+\.\d+/);
    expect(etcd.endpoints).toEqual([etcd.members[0]?.endpoint]);
    const { put, get } = etcdOverHttp(etcd.endpoints[0] ?? '');
    await put('leader', 'alice');
    expect(await get('leader')).toBe('alice');
  });

  test('refuses connections when killed, and has its data and endpoint after a restart', async () => {
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

  test('is silent when frozen, and continues when thawed', async () => {
    await using etcd = await startEtcd();
    const [member] = etcd.members;
    const [endpoint = ''] = etcd.endpoints;
    const { put, get } = etcdOverHttp(endpoint);
    await put('leader', 'alice');

    member?.freeze();
    // On a busy machine each of its threads stops a little later, when the kernel schedules it.
    const hasty = etcdOverHttp(endpoint, { timeoutMs: 3 * HEARTBEAT_MS });
    await eventually(() => expect(hasty.get('leader')).rejects.toThrow('aborted'), {
      withinMs: NEW_LEADER_MS,
    });
    member?.thaw();

    expect(await get('leader')).toBe('alice');
  });

  test('starts once for two calls of start(), and accepts two calls of stop()', async () => {
    await using etcd = await startEtcd();
    const [member] = etcd.members;
    const pid = member?.pid;

    await Promise.all([member?.start(), member?.start()]);
    expect(member?.pid).toBe(pid);

    await Promise.all([member?.stop(), member?.stop()]);
    expect(member?.pid).toBeUndefined();
  });

  test('keeps only the last lines of its log', async () => {
    await using etcd = await startEtcd({ logLines: 3 });

    expect(etcd.members[0]?.log().split('\n')).toHaveLength(3);
  });

  test('accepts extra flags', async () => {
    await using etcd = await startEtcd({ extraArgs: ['--max-request-bytes=10000'] });

    const { put } = etcdOverHttp(etcd.endpoints[0] ?? '');
    await expect(put('leader', 'a'.repeat(10_001))).rejects.toThrow('request is too large');
  });
});

describe('the data', () => {
  test('is deleted with a cluster in a temporary folder', async () => {
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
  test('work without one of them, killed or frozen', async () => {
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
    await expect.poll(() => get('leader'), eventually).toBe('bob');
  });

  test('one is partitioned: the others work; it answers clients but commits nothing until it is back', async () => {
    await using etcd = await startEtcd({ members: 3, peerNetwork: true });
    const [first, second] = etcd.members;
    const parted = etcdOverHttp(first?.endpoint ?? '', { timeoutMs: ELECTION_MS });
    const others = etcdOverHttp(second?.endpoint ?? '', { timeoutMs: ELECTION_MS });
    const eventually = { timeout: NEW_LEADER_MS, interval: HEARTBEAT_MS };

    first?.isolate();
    await expect.poll(() => succeeds(others.put('leader', 'alice')), eventually).toBe(true);
    // Each write has its own key: etcd may execute an unanswered request after the member is back.
    expect(await succeeds(parted.put('pretender', 'bob'))).toBe(false);
    expect(await others.get('pretender')).toBeUndefined();

    first?.rejoin();
    await expect.poll(() => succeeds(parted.put('returned', 'carol')), eventually).toBe(true);
    expect(await others.get('returned')).toBe('carol');
  });

  test('members whose traffic does not pass our proxies cannot be partitioned', async () => {
    await using etcd = await startEtcd();

    expect(() => etcd.members[0]?.isolate()).toThrow('peerNetwork: true');
  });

  test('all stop, the frozen one too', async () => {
    const etcd = await startEtcd({ members: 3 });
    etcd.members[1]?.freeze();

    await etcd.stop();

    expect(await Promise.all(etcd.endpoints.map(refuses))).toEqual([true, true, true]);
  });
});

describe('when etcd does not start', () => {
  test('the error ends with its log, and no process remains', async () => {
    const error = await startEtcd({ extraArgs: ['--no-such-flag'] }).catch((reason: unknown) => reason);

    expect(error).toBeInstanceOf(EtcdStartError);
    expect(error).toMatchObject({ code: 'ETCD_START_FAILED', log: expect.stringContaining('-no-such-flag') });
  });

  test('a slow start is given up after a limit', async () => {
    await expect(startEtcd({ startTimeoutMs: HEARTBEAT_MS / 2 })).rejects.toThrow('was not ready in 50 ms');
  });

  test('an invalid program is reported', async () => {
    await expect(startEtcd({ binary: '/no/such/etcd' })).rejects.toThrow('ENOENT');
  });
});

describe('the process that started etcd', () => {
  test.for(['exits', 'throws', 'is killed', 'is interrupted'] as const)(
    '%s, and its etcd ends too',
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

  /** A Node.js process that starts an etcd, prints its endpoint, and ends as ordered. */
  async function programWithEtcd() {
    const folder = await folderWithDev();
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

describe('without an etcd', () => {
  test.for([
    ['startEtcd', 'Or call provideEtcd(), which also takes the etcd in ETCD_ENDPOINTS, or a container.'],
    ['provideEtcd', 'Or set ETCD_ENDPOINTS to an etcd that runs. Or start Docker.'],
  ])('the error of %s() names a remedy', async ([name, ways]) => {
    const folder = await folderWithDev();
    const code = `import('./dev.mjs').then((dev) => dev.${name}()).catch(({ code, message }) => console.log(code, message))`;
    const env = { PATH: '/nonexistent', ETCD_ENDPOINTS: '' };
    const { stdout } = await promisify(execFile)(process.execPath, ['-e', code], { cwd: folder, env });
    expect(stdout).toContain('ETCD_NOT_FOUND no etcd here. Put it on the PATH');
    expect(stdout).toContain(ways);
  });
});

describe('ETCD_ENDPOINTS', () => {
  test.for<[string | undefined, string[] | undefined]>([
    [undefined, undefined],
    [' ', undefined],
    ['127.0.0.1:2379', ['http://127.0.0.1:2379']],
    ['https://a:2379, b:2379,', ['https://a:2379', 'http://b:2379']],
    ['http://127.0.0.1:2379/,[::1]:2379//', ['http://127.0.0.1:2379', 'http://[::1]:2379']],
  ])('%j names %j', ([value, endpoints]) => {
    expect(findEndpoints({ ETCD_ENDPOINTS: value })).toEqual(endpoints);
  });

  test('a value that is not a URL is an error', () => {
    for (const wrong of ['a b', 'http://a:2379/v3'])
      expect(() => findEndpoints({ ETCD_ENDPOINTS: wrong })).toThrow(/^ETCD_ENDPOINTS: not a URL of etcd/);
  });

  test('is preferred to an etcd of our own, and is never stopped by us', async () => {
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

/**
 * Whether the port refuses connections. (A process ID is no proof: a dead process keeps it until its parent
 * reads the exit code.)
 */
async function refuses(endpoint: string): Promise<boolean> {
  return etcdOverHttp(endpoint)
    .get('any')
    .then(
      () => false,
      (error: NodeJS.ErrnoException) => error.code === 'ECONNREFUSED',
    );
}
