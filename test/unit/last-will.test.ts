import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Etcd3 } from 'etcd3';
import { afterEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { bytesField, percentDecoded, readField, varintField } from '../../src/last-will/grpc.ts';
import { LastWill } from '../../src/last-will/index.ts';
import { reachOf } from '../../src/last-will/reach.ts';
import { PATIENCE, revoke } from '../../src/last-will/revoke.ts';
import { clock } from '../../src/util/clock.ts';
import { eventually } from '../support/eventually.ts';
import { grpcServer, headerOf, type GrpcServer } from '../support/grpc-server.ts';
import { buildChild, isRunning } from '../support/last-will-process.ts';

const clientOf = (options: object): Etcd3 => ({ options }) as unknown as Etcd3;

test('G5: a helper that cannot be started is tried less and less often, also in an old process', async () => {
  const now = clock.now.bind(clock);
  vi.spyOn(clock, 'now').mockImplementation(() => now() + 3_600_000);
  let tries = 0;
  const client = {
    get options(): never {
      tries++;
      throw new Error('no such target');
    },
  } as unknown as Etcd3;
  const will = new LastWill(client);
  const lost: string[] = [];
  will.hold('1', undefined, (reason) => lost.push(reason));
  await sleep(100);
  will.drop('1');
  vi.restoreAllMocks();
  expect(tries).toBeLessThanOrEqual(3);
  expect(lost).toEqual(['no such target']);
});

describe.skipIf(process.platform === 'win32')(
  'a helper that hangs while it starts, as under a process limit',
  () => {
    /** The helper is a program that never reads its pipe. @returns its process ID. */
    async function hangingHelper(will: LastWill, onLost: (reason: string) => void): Promise<number> {
      const folder = await mkdtemp(join(tmpdir(), 'etcd-election-will-'));
      const [program, pidFile] = [join(folder, 'hangs'), join(folder, 'pid')];
      await writeFile(program, `#!/bin/sh\necho $$ > ${pidFile}\nexec sleep 60\n`, { mode: 0o755 });
      const { execPath } = process;
      process.execPath = program;
      onTestFinished(async () => {
        process.execPath = execPath;
        vi.useRealTimers();
        await rm(folder, { recursive: true });
      });
      will.hold('1', undefined, onLost);
      await eventually(async () => (await readFile(pidFile, 'utf8')).endsWith('\n'), within);
      const pid = Number(await readFile(pidFile, 'utf8'));
      onTestFinished(() => void (isRunning(pid) && process.kill(pid, 'SIGKILL')));
      return pid;
    }
    const within = { withinMs: 5_000 };

    test('does not outlive the last lease', async () => {
      const will = new LastWill(clientOf({ hosts: '127.0.0.1:1' }));
      const pid = await hangingHelper(will, () => undefined);
      will.drop('1');
      await eventually(() => !isRunning(pid), { withinMs: 1_000 }); // the limit of a helper that works is 2 s
    });

    test('is reported and killed', async () => {
      vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
      const will = new LastWill(clientOf({ hosts: '127.0.0.1:1' }));
      const lost: string[] = [];
      const pid = await hangingHelper(will, (reason) => lost.push(reason));
      vi.advanceTimersByTime(15_000);
      vi.useRealTimers();
      await eventually(() => !isRunning(pid), within);
      expect(lost).toEqual(['it did not start, perhaps because of a process limit']);
      will.drop('1');
    });
  },
);

describe('the protobuf subset', () => {
  test.for([
    [1n, '0801'],
    [300n, '08ac02'],
    [2n ** 63n - 1n, '08ffffffffffffffff7f'],
    [-1n, '08ffffffffffffffffff01'],
  ] as const)('the lease ID %s is %s', ([id, hex]) => {
    expect(varintField(1, id).toString('hex')).toBe(hex);
  });

  test('a bytes field is found behind any other fields', () => {
    const long = 'ü'.repeat(200);
    const message = Buffer.concat([varintField(4, 2n ** 40n), bytesField(1, 'header'), bytesField(2, long)]);
    expect(String(readField(message, 2))).toBe(long);
    expect(readField(message, 4)).toBe(2n ** 40n);
    expect(readField(message, 3)).toBeUndefined();
    expect(readField(Buffer.alloc(0), 2)).toBeUndefined();
  });

  test.for([1n, 2n ** 53n + 1n, 2n ** 64n - 1n])('the cluster ID %s is read with all digits', (id) => {
    expect(readField(varintField(1, id), 1)).toBe(id);
  });

  test('an unterminated field is read to the end of the message only', () => {
    expect(readField(Buffer.alloc(64 * 1024, 0xff), 2)).toBeUndefined();
  });
});

describe('how the client reaches etcd', () => {
  test('hosts without their scheme; user and password; no TLS', () => {
    const auth = { username: 'u', password: 'p' };
    expect(reachOf(clientOf({ hosts: ['http://a:2379', 'b:2379'], auth }))).toEqual({
      hosts: ['a:2379', 'b:2379'],
      auth,
      tls: undefined,
      authority: undefined,
    });
    expect(reachOf(clientOf({})).hosts).toEqual(['127.0.0.1:2379']);
  });

  test('TLS with credentials or one https:// host, as in etcd3', () => {
    const credentials = { rootCertificate: Buffer.from('ca'), privateKey: Buffer.from('key') };
    const grpcOptions = { 'grpc.ssl_target_name_override': 'etcd.internal', 'grpc.default_authority': 'x:1' };
    expect(reachOf(clientOf({ hosts: 'http://a:1', credentials, grpcOptions }))).toMatchObject({
      tls: { ca: 'ca', key: 'key', cert: undefined, servername: 'etcd.internal' },
      authority: 'x:1',
    });
    expect(reachOf(clientOf({ hosts: ['a:1', 'https://b:1'] })).tls).toBeDefined();
  });

  test.for([
    ['dns:///etcd:2379', 'etcd:2379'],
    ['dns:etcd:2379', 'etcd:2379'],
    ['dns:///[::1]:2379', '[::1]:2379'],
    ['unix:/run/etcd.sock', '/run/etcd.sock'],
    ['unix:///run/etcd.sock', '/run/etcd.sock'],
    ['unix:etcd.sock', `${process.cwd()}/etcd.sock`],
  ] as const)('%s is dialled as %s', ([host, dialled]) => {
    expect(reachOf(clientOf({ hosts: host })).hosts).toEqual([dialled]);
  });

  test.for(['dns://10.0.0.53/etcd:2379', 'etcd:2379/path'])('%s is refused', (host) => {
    expect(() => reachOf(clientOf({ hosts: host }))).toThrow(/only etcd3 can dial/);
  });
});

describe('the revocation', () => {
  const reach = { auth: undefined, tls: undefined, authority: undefined };
  const LEASE = new Map([['7', undefined]]);
  /** For hosts that answer: a busy machine may delay their answers. */
  const ANSWERED = { nextHostAfterMs: 10_000, withinMs: 10_000, rounds: 1, pauseMs: 10 };

  test('is tried a few times without an answer, and no more', async () => {
    let accepted = 0;
    const silent = createServer(() => accepted++);
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const { port } = silent.address() as { port: number };
    const patience = { nextHostAfterMs: 10, withinMs: 50, rounds: 3, pauseMs: 10 };

    const left = await revoke({ ...reach, hosts: [`127.0.0.1:${port}`, '127.0.0.1:1'] }, LEASE, patience);

    expect([...left.keys()]).toEqual(['7']);
    await eventually(() => accepted >= patience.rounds, { withinMs: 5_000 }); // the last one may wait to be accepted
    expect(accepted).toBe(patience.rounds);
    silent.close();
  });

  const answering = (status: number, message: string): Promise<GrpcServer> =>
    grpcServer(() => ({ status, message }));

  /** A member of this cluster. It answers a revocation with `status`, and a login with the token `secret`. */
  const memberOf = (clusterId: bigint, status = 0): Promise<GrpcServer> => {
    return grpcServer((name) => {
      if (name === 'LeaseRevoke' && status !== 0) return { status };
      const rest = name === 'Authenticate' ? [bytesField(2, 'secret')] : [];
      return { body: Buffer.concat([headerOf(clusterId), ...rest]) };
    });
  };

  test.for(['50% of upstreams down', '%', '%zz', '%e4%f6', '%00%ff', 'caf\u00e9 %C3%A9'])(
    'skips a host with the grpc-message %j, and asks the next one',
    async (message) => {
      const [proxy, healthy] = [await answering(14, message), await answering(0, '')];
      for (const auth of [undefined, { username: 'u', password: 'p' }]) {
        const left = await revoke({ ...reach, auth, hosts: [proxy.host] }, LEASE, ANSWERED);
        expect([...left.keys()]).toEqual(['7']);
      }

      const left = await revoke({ ...reach, hosts: [proxy.host, healthy.host] }, LEASE, ANSWERED);

      expect([...left]).toEqual([]);
      expect(proxy.asked).toContain('Authenticate');
      expect(healthy.asked).toEqual(['Status', 'LeaseRevoke']);
    },
  );

  test('reaches a host written as unix:path through its socket', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'etcd-election-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    const path = join(folder, 'etcd.sock');
    const { asked } = await grpcServer(() => ({ body: headerOf(7n) }), path);

    const left = await revoke(reachOf(clientOf({ hosts: `unix:${path}` })), new Map([['7', '7']]));

    expect(asked).toEqual(['Status', 'LeaseRevoke']);
    expect(left.size).toBe(0);
  });

  describe('a host of another cluster', () => {
    // Larger than a double can hold: the two differ only in the last digit.
    const [OURS, THEIRS] = [2n ** 63n + 1n, 2n ** 63n + 2n];
    const lease = new Map([['7', OURS.toString()]]);
    const auth = { username: 'u', password: 'p' };

    test.for([0, 5])('gets neither the password nor the revocation (it would answer %i)', async (status) => {
      const [foreign, ours] = [await memberOf(THEIRS, status), await memberOf(OURS)];

      const left = await revoke({ ...reach, auth, hosts: [foreign.host, ours.host] }, lease, ANSWERED);

      expect(foreign.asked).toEqual(['Status']);
      expect(ours.asked).toEqual(['Status', 'Authenticate', 'LeaseRevoke']);
      expect(left.size).toBe(0);
    });

    test('as the only one that answers: the lease does not count as gone', async () => {
      const foreign = await memberOf(THEIRS, 5);
      const left = await revoke({ ...reach, hosts: [foreign.host] }, lease, ANSWERED);
      expect([...left.keys()]).toEqual(['7']);
    });

    test.for([
      ['our cluster', OURS, 0],
      ['no cluster', 0n, 0],
    ] as const)('"lease not found" is trusted from a host that names %s', async ([, id, count]) => {
      const host = await memberOf(id, 5);
      const left = await revoke({ ...reach, hosts: [host.host] }, lease, ANSWERED);
      expect(left.size).toBe(count);
    });

    test('a host that names no cluster is asked, but its "lease not found" is not trusted', async () => {
      const host = await grpcServer((name) => ({ status: name === 'Status' ? 12 : 5 }));
      const left = await revoke({ ...reach, hosts: [host.host] }, lease, ANSWERED);
      expect(host.asked).toEqual(['Status', 'LeaseRevoke']);
      expect(left.size).toBe(1);
    });

    test('each lease is revoked at the cluster that granted it', async () => {
      const [one, other] = [await memberOf(OURS), await memberOf(THEIRS)];
      const leases = new Map([...lease, ['8', THEIRS.toString()]]);
      const left = await revoke({ ...reach, hosts: [one.host, other.host] }, leases, ANSWERED);
      expect(left.size).toBe(0);
      expect(one.asked).toEqual(['Status', 'LeaseRevoke']);
      expect(other.asked).toEqual(['Status', 'LeaseRevoke']);
    });
  });

  test.for([
    ['etcdserver: authentication is not enabled', 'etcdserver: authentication is not enabled'],
    ['caf%C3%A9 100%25', 'café 100%'],
    ['50% down', '50% down'],
  ] as const)('the message %j reads %j', ([sent, read]) => {
    expect(percentDecoded(sent)).toBe(read);
  });

  test('three hosts take at most nine seconds', () => {
    const { nextHostAfterMs, withinMs, rounds, pauseMs } = PATIENCE;
    const pausesMs = pauseMs * (2 ** (rounds - 1) - 1);
    expect(rounds * (2 * nextHostAfterMs + withinMs) + pausesMs).toBeLessThanOrEqual(9_000);
  });
});

describe('the helper process', () => {
  const { execPath } = process;
  afterEach(() => {
    process.execPath = execPath;
  });

  test('that cannot start is logged once, and retried slowly', async () => {
    process.execPath = '/nowhere/node';
    const will = new LastWill(clientOf({ hosts: '127.0.0.1:1' }));
    const reasons: string[] = [];

    will.hold('7', undefined, (reason) => reasons.push(reason));
    await eventually(() => reasons.length > 0, { withinMs: 5_000 });
    await sleep(300); // two tries start at once, the third waits for at least a second
    will.drop('7');

    expect(reasons).toEqual([expect.stringContaining('ENOENT')]);
  });

  test('is not started for a host that it cannot dial, and the log says so', async () => {
    const will = new LastWill(clientOf({ hosts: 'dns://10.0.0.53/etcd:2379' }));
    const reasons: string[] = [];
    will.hold('7', undefined, (reason) => reasons.push(reason));
    await eventually(() => reasons.length > 0, { withinMs: 5_000 });
    will.drop('7');
    expect(reasons).toEqual([expect.stringContaining('only etcd3 can dial')]);
  });

  test.skipIf(process.platform !== 'linux')(
    'does not keep our process alive, and ends when it has no task',
    async () => {
      const child = await buildChild('test/support/last-will-holder.ts');
      const { status, stdout } = spawnSync(execPath, [child], { timeout: 30_000, encoding: 'utf8' });
      expect(status).toBe(0);
      const helper = Number(stdout);
      expect(helper).toBeGreaterThan(1);
      // Refused at once: only the pauses between the rounds take time.
      await eventually(() => !isRunning(helper), { withinMs: 20_000 });
    },
    60_000,
  );

  test.skipIf(process.platform !== 'linux')(
    'of a worker thread that ends after it has left does not stay as a zombie',
    async () => {
      const child = await buildChild('test/support/last-will-thread-child.ts');
      const { stdout } = spawnSync(execPath, [child], { timeout: 30_000, encoding: 'utf8' });
      expect(JSON.parse(stdout)).toEqual({ helpers: 1, remaining: 0 });
    },
    60_000,
  );
});
