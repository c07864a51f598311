import { spawn } from 'node:child_process';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { etcdPath, startEtcd, type EtcdMember } from 'etcd-election/dev';
import { describe, expect, onTestFinished, test } from 'vitest';
import { reservePort } from '../../src/dev/ports.ts';
import { etcdOverHttp } from '../support/etcd-over-http.ts';
import { eventually } from '../support/eventually.ts';
import { commandPath } from '../support/cli-program.ts';
import { Program } from '../support/programs.ts';

// `etcd-election doctor` on faulty clusters.

const doctor = (endpoints: readonly string[], ...flags: string[]): Program =>
  new Program(commandPath(), ['doctor', '--command-timeout', '3s', ...flags], {
    env: { ETCDCTL_ENDPOINTS: endpoints.join() },
  });

/** Waits until these members serve writes again: without the leader of etcd, they elect another one first. */
async function serving(...members: readonly EtcdMember[]): Promise<void> {
  for (const { endpoint } of members)
    await eventually(() => etcdOverHttp(endpoint, { timeoutMs: 1_000 }).put('serving', 'x'), {
      withinMs: 20_000,
    });
}

/** One of etcd's proxies. Its target is already up, so it is ready as soon as it listens. */
async function startEtcdProxy(kind: 'grpc-proxy' | 'gateway', endpoints: readonly string[]): Promise<string> {
  const address = `127.0.0.1:${(await reservePort()).port}`;
  const hosts = endpoints.map((endpoint) => new URL(endpoint).host).join();
  const flags = [`--endpoints=${hosts}`, `--listen-addr=${address}`];
  // The proxy connects to its advertised address. The newest etcd does not start if that refuses connections.
  if (kind === 'grpc-proxy') flags.push(`--advertise-client-url=${address}`);
  const child = spawn(await etcdPath(), [kind, 'start', ...flags], { stdio: 'ignore' });
  onTestFinished(() => void child.kill('SIGKILL'));
  return `http://${address}`;
}

/** The proxy is unreachable until it listens. Then the command runs once more. */
async function onceReachable(endpoint: string): Promise<Program> {
  for (let attempt = 0; attempt < 20; attempt++) {
    const program = doctor([endpoint]);
    await program.over();
    if (!program.stdout.includes('ECONNREFUSED')) return program;
  }
  throw new Error(`${endpoint} does not listen`);
}

describe('three members', () => {
  test('one is dead and one is silent: both are reported; a quorum is fit; permissions are not blamed', async () => {
    await using etcd = await startEtcd({ members: 3 });
    const [first, second, third] = etcd.members as [EtcdMember, EtcdMember, EtcdMember];
    await third.kill();
    await serving(first, second);
    const dead = doctor(etcd.endpoints);
    expect(await dead.exit(), dead.said).toBe(0);
    expect(dead.stdout).toMatch(/^! member \S+: cannot be reached: .*ECONNREFUSED/m);
    expect(dead.stdout).toContain('✓ cluster: 3 members');
    await third.start();

    second.freeze();
    onTestFinished(() => second.thaw());
    await serving(first, third);
    const silent = doctor(etcd.endpoints);
    expect(await silent.exit(), silent.said).toBe(0);
    expect(silent.stdout).toMatch(/^! member \S+: does not answer: /m);
    expect(silent.stdout).toContain('✓ permissions');
    expect(silent.stdout).not.toContain('grant-permission');

    second.thaw();
  });

  test('without a quorum the verdict is "not fit", and permissions are not blamed', async () => {
    await using etcd = await startEtcd({ members: 3 });
    await Promise.all([etcd.members[1]!.kill(), etcd.members[2]!.kill()]);
    const program = doctor(etcd.endpoints);
    expect(await program.exit(), program.said).toBe(1);
    expect(program.stdout).toContain('not fit for elections');
    expect(program.stdout).not.toContain('grant-permission');
  });

  test('behind a gateway: several members answer at one address', async () => {
    await using etcd = await startEtcd({ members: 3 });
    const program = await onceReachable(await startEtcdProxy('gateway', etcd.endpoints));
    expect(await program.exit(), program.said).toBe(0);
    expect(program.stdout).toMatch(/! member \S+: [23] members answer at this one address: a gateway/);
  });
});

test('a grpc-proxy is recognised by the watch ID, and is fit with a longer TTL', async () => {
  await using etcd = await startEtcd();
  const program = await onceReachable(await startEtcdProxy('grpc-proxy', etcd.endpoints));
  expect(await program.exit(), program.said).toBe(0);
  expect(program.stdout).toContain('! grpc-proxy: this is an etcd grpc-proxy');
});

test('members of two clusters are not fit, and both are named', async () => {
  await using one = await startEtcd();
  await using other = await startEtcd();
  const program = doctor([...one.endpoints, ...other.endpoints]);
  expect(await program.exit(), program.said).toBe(1);
  expect(program.stdout).toMatch(/✗ cluster: the endpoints belong to 2 different clusters: http/);
});

test('an HTTP server that is not etcd', async () => {
  const server = createServer((_, response) => response.writeHead(404).end('nothing here'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  const program = doctor([`http://127.0.0.1:${(server.address() as AddressInfo).port}`]);
  expect(await program.exit()).toBe(1);
  expect(program.stdout).toMatch(/✗ member \S+: something answers, but it is not etcd/);
});

test('the version is shown with its known defects and its end of life', async () => {
  await using etcd = await startEtcd();
  const program = doctor(etcd.endpoints, '--json');
  await program.over();
  const { findings } = JSON.parse(program.stdout) as {
    findings: { check: string; advice?: string; details?: string[] }[];
  };
  const version = findings.filter(({ check }) => /^etcd 3\.\d+\.\d+$/.test(check));
  if (version[0]?.check === 'etcd 3.4.23') {
    expect(version).toHaveLength(2);
    expect(version[1]!.details!.join('\n')).toContain('#20418: a linearizable read can be stale');
    expect(version[1]!.advice).toContain('upgrade to 3.4.42 or later');
  }
});
