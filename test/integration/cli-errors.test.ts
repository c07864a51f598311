import { createServer as createHttpServer } from 'node:http';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished } from 'vitest';
import { certificates } from '../support/certificates.ts';
import { commandPath } from '../support/cli-program.ts';
import { Program } from '../support/programs.ts';
import { test } from '../support/world.ts';

// Every error of the command says what happened, at which endpoints, and what to do.

const etcdElection = (args: readonly string[]): Program => new Program(commandPath(), args, { env: {} });

/** Words of gRPC, Node and OpenSSL that do not help a reader. */
const RAW = /LB pick|Resolution note|Last error|UNAVAILABLE|DEADLINE|SSL routines|ENOENT|\bat \S+\.js:/;

const COMMANDS: readonly (readonly string[])[] = [
  ['status'],
  ['evict', 'e', '--yes'],
  ['run', 'e', '--if-free', '--', 'true'],
  ['doctor'],
];

async function listen(server: Server): Promise<AsyncDisposable & { readonly endpoint: string }> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => void sockets.add(socket.on('error', () => {})));
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return {
    endpoint: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: () =>
      new Promise((done) => {
        server.close(() => done());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

/** Long enough for an answer on a busy machine. Without an answer, every command waits for as long. */
const ANSWERED = '20s';
const UNANSWERED = '1s';

/** Runs every command with these flags. Each must fail, and its output must match. */
async function expectAll(timeout: string, flags: string[], endpoint: string, said: RegExp): Promise<void> {
  const programs = COMMANDS.map(([command, ...rest]) =>
    etcdElection([command!, '--command-timeout', timeout, ...flags, ...rest]),
  );
  for (const program of programs) {
    expect(await program.exit()).toBe(1);
    const output = program.stdout + program.stderr;
    expect(output).toContain(endpoint);
    expect(output).toMatch(said);
    expect(output).not.toMatch(RAW);
  }
}

describe('the endpoint', () => {
  test('has a socket that never answers', async () => {
    await using server = await listen(createServer());
    const { endpoint } = server;
    await expectAll(UNANSWERED, ['--endpoints', endpoint], endpoint, /does not answer/);
  });

  test('has an HTTP server that is not etcd', async () => {
    await using server = await listen(createHttpServer((_, response) => response.end('hello')));
    const { endpoint } = server;
    await expectAll(
      ANSWERED,
      ['--endpoints', endpoint],
      endpoint,
      /does not speak the protocol of etcd|it is not etcd/,
    );
  });

  test('does not speak TLS', async ({ etcd }) => {
    const endpoint = etcd.endpoints[0]!.replace('http:', 'https:');
    await expectAll(
      ANSWERED,
      ['--endpoints', endpoint],
      endpoint,
      /if this etcd does not speak TLS, write http:/,
    );
  });

  test('has a host name that does not exist', async () => {
    await expectAll(
      UNANSWERED,
      ['--endpoints', 'no-such-host.invalid:1'],
      'no-such-host.invalid:1',
      /check DNS and the host name|does not answer/, // the second if no name server answers in time
    );
  });
});

test('a user is ignored if etcd has no authentication, as in etcdctl', async ({ etcd, prefix }) => {
  const flags = ['--endpoints', etcd.endpoints.join(), '--prefix', prefix, '--user', 'a:b'];
  const [status, doctor] = [etcdElection(['status', ...flags]), etcdElection(['doctor', ...flags])];
  expect(await status.exit()).toBe(0);
  expect(await doctor.exit()).toBe(0);
});

test('an HTTP proxy is not used for etcd on this machine, as in etcdctl, and otherwise is named', async ({
  etcd,
}) => {
  const env = { http_proxy: 'http://127.0.0.1:1', no_proxy: '', no_grpc_proxy: '' };
  const status = async (endpoints: string): Promise<Program> => {
    const program = new Program(commandPath(), ['status', '--endpoints', endpoints], { env });
    await program.over();
    return program;
  };
  const [here, elsewhere] = await Promise.all([status(etcd.endpoints.join()), status('192.0.2.1:2379')]);
  expect(here.child.exitCode, here.said).toBe(0);
  expect(elsewhere.child.exitCode).toBe(1);
  expect(elsewhere.stderr).toMatch(/the HTTP proxy set by http_proxy does not connect us \(.*no_proxy\)/);
});

test('invalid PEM files are named', async () => {
  const made = await certificates();
  onTestFinished(() => made.remove());
  const { files } = made;
  const folder = mkdtempSync(join(tmpdir(), 'etcd-election-pem-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const garbage = join(folder, 'garbage.pem');
  writeFileSync(garbage, 'garbage');
  const said = async (...flags: string[]): Promise<string> => {
    const program = etcdElection(['status', '--endpoints', 'https://127.0.0.1:1', ...flags]);
    expect(await program.exit()).toBe(2);
    expect(program.stderr).not.toMatch(RAW);
    return program.stderr;
  };
  const pair = (cert: string, key: string): string[] => ['--cacert', files.ca, '--cert', cert, '--key', key];
  const [missing, ca, cert, key, other] = await Promise.all([
    said('--cacert', join(folder, 'missing.pem')),
    said('--cacert', garbage),
    said(...pair(garbage, files.key)),
    said(...pair(files.cert, garbage)),
    said(...pair(files.ca, files.key)),
  ]);
  expect(missing).toContain(`--cacert: cannot read ${join(folder, 'missing.pem')}`);
  expect(ca).toContain(`--cacert: ${garbage} has no certificate`);
  expect(cert).toContain(`--cert: ${garbage} has no certificate`);
  expect(key).toContain(`--key: ${garbage} has no key`);
  expect(other).toContain(`--key: ${files.key} is not the key of ${files.ca}`);
});

describe('profile', () => {
  const profile = (...args: string[]): Program => etcdElection(['profile', ...args, '--seconds', '0.2']);

  test('a server that has no diagnostics', async () => {
    await using server = await listen(createHttpServer((_, response) => response.end('hello')));
    const { endpoint } = server;
    const [page, closed] = [profile(`http://${endpoint}`), profile('http://127.0.0.1:1')];
    expect(await page.exit()).toBe(1);
    expect(page.stderr).toContain(`http://${endpoint} answered, but not with a profile`);
    expect(await closed.exit()).toBe(1);
    expect(closed.stderr).toMatch(/cannot record http:\/\/127.0.0.1:1: .*serveDiagnostics/);
  });

  test('a missing folder is refused before the recording', async () => {
    const program = profile('http://127.0.0.1:1', '--out', '/no-such-folder/x');
    expect(await program.exit()).toBe(2);
    expect(program.stderr).toContain('--out: there is no folder /no-such-folder');
  });
});
