import { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { Server, type Socket, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EtcdStartError, etcdPath, provideEtcd, startEtcd } from 'etcd-election/dev';
import { afterEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { composeEtcd } from '../../src/dev/compose.ts';
import { demo } from '../../src/dev/demo/demo.ts';
import { PeerNetwork } from '../../src/dev/peer-network.ts';
import { eventually } from '../support/eventually.ts';
import { isAlive } from '../support/programs.ts';

// How etcd is found and started, with programs that only pretend to be etcd, Docker or apt.

const SOON_MS = 30_000;

afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'etcd-election-start-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function program(path: string, text: string): string {
  writeFileSync(path, text);
  chmodSync(path, 0o755);
  return path;
}

/** A member that answers. The first one of all ends because its port is taken, or all do, or none. */
const fakeEtcd = (folder: string, fails: 'once' | 'always' | 'never'): string =>
  program(
    join(folder, 'etcd'),
    `#!${process.execPath}
const fs = require('node:fs');
const flag = (name) => process.argv.find((arg) => arg.startsWith('--' + name + '='))?.split('=')[1];
if (process.argv.includes('--version')) console.log('etcd Version: 3.4.23');
else {
  fs.mkdirSync(flag('data-dir'), { recursive: true });
  let isFirst = ${fails !== 'never'};
  try {
    fs.writeFileSync(${JSON.stringify(join(folder, 'was-taken'))}, '', { flag: 'wx' });
  } catch {
    isFirst = ${fails === 'always'};
  }
  if (isFirst) {
    console.log('listen tcp: address already in use');
    process.exitCode = 1;
  } else {
    const { hostname, port } = new URL(flag('listen-client-urls'));
    require('node:http').createServer((_, response) => response.end('{}')).listen(port, hostname);
  }
}
`,
  );

describe('a data folder', () => {
  test('three members start again if a port is taken', async () => {
    const dataDir = newFolder();
    await using etcd = await startEtcd({ members: 3, dataDir, binary: fakeEtcd(newFolder(), 'once') });
    expect(etcd.members).toHaveLength(3);
    expect(readdirSync(dataDir).sort()).toEqual(['etcd1', 'etcd2', 'etcd3']);
  });

  test('is empty after a failed start, and the error names the cause', async () => {
    const dataDir = newFolder();
    const options = { members: 3, dataDir, binary: fakeEtcd(newFolder(), 'always') } as const;
    await expect(startEtcd(options)).rejects.toThrow(EtcdStartError);
    expect(readdirSync(dataDir)).toEqual([]);
  });
});

describe('a member that SIGKILL does not end', () => {
  test.for(['stop', 'kill'] as const)('ends neither %s() nor the rest of the cluster late', async (call) => {
    const folder = newFolder();
    const etcd = await startEtcd({
      binary: fakeEtcd(folder, 'never'),
      dataDir: newFolder(),
      peerNetwork: true,
    });
    const [member] = etcd.members;
    const networkClosed = vi.spyOn(PeerNetwork.prototype, 'close');
    const signals: unknown[] = [];
    const kill = vi.spyOn(ChildProcess.prototype, 'kill').mockImplementation((signal) => {
      signals.push(signal);
      return true;
    });
    const { pid } = member!;
    onTestFinished(() => void process.kill(pid!, 'SIGKILL'));
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => void vi.useRealTimers());
    const ended = expect(call === 'stop' ? etcd.stop() : member!.kill()).rejects.toThrow(
      `etcd1 (process ${pid}) did not end within 5000 ms of SIGKILL`,
    );
    await vi.advanceTimersByTimeAsync(5_000);
    await vi.advanceTimersByTimeAsync(5_000);
    await ended;
    kill.mockRestore();
    expect(signals).toEqual(call === 'stop' ? ['SIGCONT', 'SIGTERM', 'SIGKILL'] : ['SIGKILL']);
    expect(networkClosed).toHaveBeenCalledTimes(call === 'stop' ? 1 : 0);
    expect(vi.getTimerCount()).toBe(0);
  });
});

test('without a free port, the network between the members is closed', async () => {
  vi.spyOn(PeerNetwork.prototype, 'join').mockRejectedValue(new Error('no free port'));
  const closed = vi.spyOn(PeerNetwork.prototype, 'close');
  const options = { members: 3, binary: fakeEtcd(newFolder(), 'never'), peerNetwork: true } as const;
  await expect(startEtcd(options)).rejects.toThrow('no free port');
  expect(closed).toHaveBeenCalledOnce();
});

test.for([
  [{ startTimeoutMs: NaN }, 'startTimeoutMs'],
  [{ startTimeoutMs: 2 ** 31 }, 'startTimeoutMs'],
  [{ logLines: -1 }, 'logLines'],
  [{ members: 2 as 3 }, 'members'],
] as const)('startEtcd(%o) is refused by name', async ([options, name]) => {
  await expect(startEtcd({ binary: '/no/such/etcd', ...options })).rejects.toThrow(`${name}: expected`);
});

/** `docker compose up` starts an HTTP server on the port, `down` ends it. */
const FAKE_DOCKER = `#!/bin/sh
cd "$(dirname "$0")"
for word; do
  case "$word" in
    etcd-election-dev*) project=$word ;;
    up)
      ${process.execPath} -e 'require("node:http").createServer((_, r) => r.end()).listen(process.env.ETCD_PORT, "127.0.0.1")' > /dev/null 2>&1 &
      echo $! > "$project.pid" ;;
    down) kill "$(/bin/cat "$project.pid")" ;;
  esac
done
`;

test('a folder with the name of a program on the PATH is not taken for it', async () => {
  const [first, second] = [newFolder(), newFolder()];
  mkdirSync(join(first, 'etcd'));
  vi.stubEnv('PATH', `${first}:${second}`);
  const path = fakeEtcd(second, 'once');
  expect(await etcdPath()).toBe(path);
});

describe('ETCD_ENDPOINTS names an etcd', () => {
  test('that does not answer: the error says so, soon', async () => {
    vi.stubEnv('ETCD_ENDPOINTS', '127.0.0.1:1,127.0.0.1:2');
    vi.spyOn(AbortSignal, 'timeout').mockReturnValue(AbortSignal.abort()); // the time is over after the first attempt
    await expect(provideEtcd()).rejects.toThrow(
      /no etcd answers at ETCD_ENDPOINTS.*unset ETCD_ENDPOINTS.*\n- ETCD_ENDPOINTS: http:\/\/127.0.0.1:1, http:\/\/127.0.0.1:2 accepted no connection within 5 s/,
    );
    await expect(provideEtcd({ signal: AbortSignal.abort(new Error('stop')) })).rejects.toThrow('stop');
  });

  test('of which one member answers', async () => {
    const server = createServer((socket) => void socket.end()).listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => void server.close());
    vi.stubEnv('ETCD_ENDPOINTS', `127.0.0.1:1,127.0.0.1:${(server.address() as { port: number }).port}/`);
    expect((await provideEtcd()).endpoints).toHaveLength(2);
  });

  test('at an address that the demo cannot use: it ends', async () => {
    const server = createServer((socket) => void socket.end()).listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => void server.close());
    vi.stubEnv('ETCD_ENDPOINTS', `127.0.0.1:${(server.address() as { port: number }).port},127.0.0.1`);
    const [out, error] = [
      vi.spyOn(process.stdout, 'write').mockReturnValue(true),
      vi.spyOn(console, 'error').mockReturnValue(),
    ];
    const listen = vi.spyOn(Server.prototype, 'listen');
    expect(await demo([])).toBe(1);
    expect(error.mock.calls.join()).toContain('an address needs a port: http://127.0.0.1');
    out.mockRestore();
    expect(listen.mock.contexts.filter((opened) => (opened as Server).listening)).toEqual([]);
  });
});

test('the demo ends what it started when its output is closed, as by `| head`', async () => {
  const tools = newFolder();
  program(join(tools, 'docker'), FAKE_DOCKER);
  vi.stubEnv('PATH', `${tools}:/usr/bin:/bin`);
  vi.stubEnv('ETCD_ENDPOINTS', '');
  vi.spyOn(process, 'cwd').mockReturnValue(tools);
  const isUp = (): boolean => readdirSync(tools).some((name) => name.endsWith('.pid'));
  const write = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  const ended = demo([]);
  await eventually(isUp, { withinMs: SOON_MS });
  const lost = Object.assign(new Error('write EPIPE'), { code: 'EPIPE' });
  process.stdout.emit('error', lost);
  expect(await ended).toBe(1);
  process.stdout.emit('error', lost); // of the last write
  write.mockRestore();
  const [file] = readdirSync(tools).filter((name) => name.endsWith('.pid'));
  const pid = Number(readFileSync(join(tools, file!), 'utf8'));
  await eventually(() => !isAlive(pid), { withinMs: SOON_MS });
});

test('two containers at the same time: the end of one leaves the other', async () => {
  const tools = newFolder();
  program(join(tools, 'docker'), FAKE_DOCKER);
  vi.stubEnv('PATH', `${tools}:/usr/bin:/bin`);
  const [one, other] = await Promise.all([composeEtcd(), composeEtcd()]);
  const answers = async (etcd: typeof one): Promise<boolean> =>
    await fetch(etcd!.endpoints[0]!).then(
      () => true,
      () => false,
    );
  try {
    await one!.stop();
    await eventually(async () => !(await answers(one)), { withinMs: SOON_MS });
    expect(await answers(other)).toBe(true);
  } finally {
    await other!.stop();
  }
});

test('a signal ends the download of etcd, and its reason is the error', async () => {
  const project = newFolder();
  const begun = join(project, 'begun');
  writeFileSync(join(project, 'package.json'), '{}');
  program(join(project, 'apt-get'), `#!/bin/sh\n: > ${begun}\nexec /bin/sleep 600\n`);
  vi.stubEnv('PATH', project);
  vi.stubEnv('ETCD_ENDPOINTS', '');
  vi.spyOn(process, 'cwd').mockReturnValue(project);
  const stop = new AbortController();
  const provided = provideEtcd({ signal: stop.signal }).catch((error: unknown) => error);
  await eventually(() => existsSync(begun), { withinMs: SOON_MS });
  const reason = new Error('interrupted');
  stop.abort(reason);
  expect(await provided).toBe(reason);
  expect(readdirSync(join(project, '.etcd')).filter((name) => name.startsWith('fetch-'))).toEqual([]);
});

test('the demo prints a wrong option to standard error', async () => {
  const [out, error] = [vi.spyOn(console, 'log'), vi.spyOn(console, 'error').mockReturnValue()];
  expect(await demo(['--json', '--only', 'nonsense'])).toBe(2);
  expect(error.mock.calls[0]?.[0]).toContain('there is no scene "nonsense"');
  expect(out).not.toHaveBeenCalled();
});

describe('the network between members', () => {
  interface Member {
    readonly name: string;
    readonly server: Server;
    readonly socksPort: number;
    received: string;
  }

  async function memberOf(network: PeerNetwork, name: string): Promise<Member> {
    const member = { name, server: createServer(), socksPort: 0, received: '' };
    member.server.on('connection', (socket) =>
      socket.on('data', (data) => (member.received += String(data))),
    );
    member.server.listen(0, '127.0.0.1');
    await once(member.server, 'listening');
    onTestFinished(() => void member.server.close());
    const { env } = await network.join(name, (member.server.address() as { port: number }).port);
    return Object.assign(member, { socksPort: Number(new URL(env['HTTP_PROXY']!).port) });
  }

  /** Dials as Go does, with SOCKS 5. */
  async function dial(from: Member, to: Member): Promise<Socket> {
    const socket = connect(from.socksPort, '127.0.0.1');
    onTestFinished(() => void socket.destroy());
    socket.write(Buffer.from([5, 1, 0]));
    await once(socket, 'data');
    const host = Buffer.from(`${to.name}.invalid`);
    socket.write(Buffer.from([5, 1, 0, 3, host.length, ...host, 0, 1]));
    await once(socket, 'data');
    return socket;
  }

  test('a link is blocked until both of its isolated members have rejoined', async () => {
    const network = new PeerNetwork();
    onTestFinished(() => network.close());
    const [a, b, c] = await Promise.all(['a', 'b', 'c'].map((name) => memberOf(network, name)));
    const [toB, toC] = [await dial(a!, b!), await dial(a!, c!)];
    network.isolate('a', 'both');
    network.isolate('b', 'down');

    network.rejoin('a');
    toB.write('secret');
    toC.write('hello');
    await eventually(() => c!.received === 'hello', { withinMs: SOON_MS });
    expect(b!.received).toBe('');

    network.rejoin('b');
    await eventually(() => b!.received === 'secret', { withinMs: SOON_MS });
  });
});
