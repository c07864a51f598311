import { join } from 'node:path';
import { startEtcd } from 'etcd-election/dev';
import { beforeAll, describe, expect, onTestFinished, test as bare } from 'vitest';
import { certificates, type Certificates } from '../support/certificates.ts';
import { Program, ROOT } from '../support/programs.ts';
import { test } from '../support/world.ts';
import { etcdElection, json, START_MS } from '../support/cli-program.ts';

// Users, passwords and certificates, with the settings of etcdctl.

describe('an etcd with authentication', () => {
  bare('a user with a role for the prefix passes; one without is told what is missing', async () => {
    const etcd = await startEtcd();
    onTestFinished(() => etcd.stop());
    const { Etcd3 } = await import('etcd3');
    const admin = new Etcd3({ hosts: etcd.endpoints });
    onTestFinished(() => admin.close());
    const root = await admin.role('root').create();
    await (await admin.user('root').create('secret')).addRole(root);
    const role = await admin.role('elector').create();
    await role.grant({ permission: 'Readwrite', range: admin.range({ prefix: 'election/' }) });
    await (await admin.user('app').create('app:secret')).addRole(role);
    await admin.user('nobody').create('nothing');
    await admin.auth.authEnable();

    const as = (user: string): Program =>
      etcdElection(['doctor', '--json'], { ETCDCTL_ENDPOINTS: etcd.endpoints.join(), ETCDCTL_USER: user });
    const [allowed, refused, wrong] = [as('app:app:secret'), as('nobody:nothing'), as('app:wrong')];
    const others = (['status', 'watch', 'run'] as const).map((command) =>
      etcdElection([command, 'e', ...(command === 'run' ? ['--', 'true'] : [])], {
        ETCDCTL_ENDPOINTS: etcd.endpoints.join(),
        ETCDCTL_USER: 'app:wrong',
      }),
    );
    expect(await wrong.exit()).toBe(1);
    expect(JSON.stringify(json(wrong))).toContain('authentication failed');
    for (const other of others) {
      expect(await other.exit(), other.said).toBe(1);
      expect(other.stderr).toMatch(/^etcd-election \w+: .*authentication failed.*\n$/); // once
    }

    expect(await allowed.exit(), allowed.said).toBe(0);
    expect(await refused.exit()).toBe(1);
    expect(JSON.stringify(json(refused))).toContain('etcdctl role grant-permission');
  });
});

describe('certificates', () => {
  test('a file that cannot be read is a wrong command line', async () => {
    const program = etcdElection(['status'], { ETCDCTL_CACERT: join(ROOT, 'none.pem') });
    expect(await program.exit()).toBe(2);
    expect(program.stderr).toContain('none.pem');
  });
});

describe('over TLS with a client certificate, with the settings of etcdctl', () => {
  let files: Certificates['files'];
  let stranger: Certificates['files'];
  let endpoint: string;
  beforeAll(async () => {
    const [trusted, other] = await Promise.all([certificates(), certificates()]);
    ({ files } = trusted);
    stranger = other.files;
    const etcd = await startEtcd({
      extraArgs: [
        `--cert-file=${files.cert}`,
        `--key-file=${files.key}`,
        `--trusted-ca-file=${files.ca}`,
        '--client-cert-auth=true',
      ],
    });
    endpoint = etcd.endpoints[0]!;
    return async () => {
      await etcd.stop();
      await Promise.all([trusted.remove(), other.remove()]);
    };
  });

  const tls = (
    args: readonly string[],
    { ca, cert, key }: Partial<Certificates['files']>,
    endpoints = endpoint,
  ): Program =>
    etcdElection(args, {
      ETCDCTL_ENDPOINTS: endpoints,
      ...(ca !== undefined && { ETCDCTL_CACERT: ca }),
      ...(cert !== undefined && { ETCDCTL_CERT: cert }),
      ...(key !== undefined && { ETCDCTL_KEY: key }),
    });

  bare('status, doctor and run do what they do', { timeout: 4 * START_MS }, async () => {
    const [status, doctor, run] = [
      tls(['status', 'job'], files),
      // Without a scheme: --cacert implies https.
      tls(['doctor', '--json', '--ttl', '2'], files, endpoint.replace('https://', '')),
      tls(['run', 'other-job', '--', 'sh', '-c', 'echo "token $ETCD_ELECTION_TOKEN"'], files),
    ];
    expect(await status.exit(), status.stderr).toBe(3);
    expect(status.stdout).toMatch(/\njob: nobody leads\n$/);
    expect(await doctor.exit(), doctor.stdout + doctor.stderr).toBe(0);
    expect(await run.exit(), run.stderr).toBe(0);
    expect(run.stdout).toMatch(/^token \d+$/m);
  });

  bare(
    'a certificate that is missing, or a stranger: code 1, and no key is shown',
    { timeout: 6 * START_MS },
    async () => {
      await using withoutTls = await startEtcd();
      const plain = new URL(withoutTls.endpoints[0]!).port;
      const cases: [Program, RegExp][] = [
        [tls(['status', 'job'], { ca: files.ca }), /our client certificate.*ETCDCTL_CERT and ETCDCTL_KEY/],
        [tls(['status', 'job'], { ...stranger, ca: files.ca }), /our client certificate/],
        [tls(['status', 'job'], { ...files, ca: stranger.ca }), /etcd's certificate .*ETCDCTL_CACERT/],
        [tls(['doctor'], { ...stranger, ca: files.ca }), /our client certificate/],
        [tls(['status', 'job'], {}, endpoint.replace('https', 'http')), /https:\/\//],
        [tls(['status', 'job'], files, `https://127.0.0.1:${plain}`), /if this etcd does not speak TLS/],
      ];
      for (const [program, expected] of cases) {
        expect(await program.exit(), program.stdout).toBe(1);
        const said = program.stdout + program.stderr;
        expect(said).toMatch(expected);
        expect(said).not.toMatch(/PRIVATE KEY|Warning|openssl/);
      }
    },
  );

  bare('with a user and several endpoints, a TLS error is named too', { timeout: 4 * START_MS }, async () => {
    const endpoints = [endpoint, endpoint.replace('127.0.0.1', 'localhost')].join();
    const alice = ['job', '--user', 'alice:pw'];
    const cases: [Program, RegExp][] = [
      [tls(['status', ...alice], { ca: files.ca }, endpoints), /our client certificate/],
      [
        tls(['status', ...alice], { ...files, ca: stranger.ca }, endpoints),
        /etcd's certificate .*ETCDCTL_CACERT/,
      ],
      [tls(['evict', '--yes', ...alice], { ca: files.ca }, endpoints), /our client certificate/],
    ];
    for (const [program, expected] of cases) {
      expect(await program.exit(), program.said).toBe(1);
      expect(program.stderr).toMatch(expected);
    }
  });
});
