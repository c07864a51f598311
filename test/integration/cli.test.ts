import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { startEtcd, startProxy } from 'etcd-election/dev';
import { beforeAll, describe, expect, onTestFinished, test as bare } from 'vitest';
import { eventually, within } from '../support/eventually.ts';
import { certificates, type Certificates } from '../support/certificates.ts';
import { compile, Program, type ProgramOptions, ROOT } from '../support/programs.ts';
import { SOON_MS, test, TTL_SECONDS } from '../support/world.ts';

// The command as a process, as people run it.

/** Includes the start of a Node process on a busy machine. */
const START_MS = 15_000;

let bin: string;
beforeAll(async () => {
  [bin] = (await compile(['src/cli/bin.ts'])) as [string];
});

const etcdElection = (
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
  options: ProgramOptions = {},
): Program => new Program(bin, args, { ...options, env });

/** Its connection and prefix come from the environment. */
const cli =
  (endpoints: readonly string[], prefix: string) =>
  (args: readonly string[], options: ProgramOptions = {}): Program => {
    const [command, ...rest] = args;
    return etcdElection(
      [command!, '--prefix', prefix, ...rest],
      { ETCDCTL_ENDPOINTS: endpoints.join() },
      options,
    );
  };

const json = (program: Program): Record<string, unknown> =>
  JSON.parse(program.stdout) as Record<string, unknown>;

describe('in general', () => {
  test('help, version, and wrong command lines', async () => {
    const [help, version, unknown, flag, none] = [
      etcdElection(['--help']),
      etcdElection(['status', '--help']),
      etcdElection(['reign']),
      etcdElection(['status', '--typo']),
      etcdElection([]),
    ];
    expect(await help.exit()).toBe(0);
    for (const command of ['run', 'status', 'watch', 'evict', 'doctor', 'profile', 'completion', 'demo'])
      expect(help.stdout).toContain(`\n  ${command} `);
    expect(await version.exit()).toBe(0);
    expect(version.stdout).toContain('--endpoints');
    expect(await unknown.exit()).toBe(2);
    expect(unknown.stderr).toContain('unknown command "reign"');
    expect(await flag.exit()).toBe(2);
    expect(flag.stderr).toContain("Unknown option '--typo'");
    expect(await none.exit()).toBe(2);
    const [forStatus, short, hint] = [
      etcdElection(['help', 'status']),
      etcdElection(['-V']),
      etcdElection(['run', 'x', 'echo', 'hi']),
    ];
    expect(await forStatus.exit()).toBe(0);
    expect(forStatus.stdout).toBe(version.stdout);
    expect(await short.exit()).toBe(0);
    expect(short.stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
    expect(await hint.exit()).toBe(2);
    expect(hint.stderr).toBe(
      'etcd-election run: put -- before the command: etcd-election run x -- echo hi; see etcd-election help run\n',
    );
  });

  test('an unreachable etcd exits with 1 and prints one line with advice', async () => {
    const program = etcdElection(['status'], { ETCDCTL_ENDPOINTS: '127.0.0.1:1' });
    expect(await program.exit()).toBe(1);
    expect(program.stderr).toMatch(
      /^etcd-election status: cannot reach etcd at http:\/\/127.0.0.1:1: .*ETCDCTL_ENDPOINTS\)\n$/,
    );
  });
});

describe('status', () => {
  test('shows the leader, the waiting candidates and their lease times; exits with 3 without a leader', async ({
    etcd,
    prefix,
    candidate,
  }) => {
    const run = cli(etcd.endpoints, prefix);
    const empty = run(['status', 'e']);
    expect(await empty.exit()).toBe(3);
    expect(empty.stdout).toMatch(/^prefix \S+, cluster \d+, at http:\S+\ne: nobody leads\n$/);
    const term = await candidate('alice').campaign();
    const bob = candidate('bob');
    void bob.campaign();
    await bob.queued();

    const [text, document, all] = [
      run(['status', 'e']),
      run(['status', 'e', '--json']),
      run(['status', '--json']),
    ];

    expect(await text.exit()).toBe(0);
    expect(text.stdout).toMatch(
      new RegExp(
        `^prefix ${prefix}, cluster \\d+, at ${etcd.endpoints.join(', ')}\ne\n\\* leads  alice  token ${term.fencingToken} +\\d of ${TTL_SECONDS} s left\n  2      bob    token \\d+  `,
      ),
    );
    expect(await document.exit()).toBe(0);
    expect(json(document)).toMatchObject({
      election: 'e',
      leader: {
        value: 'alice',
        fencingToken: String(term.fencingToken),
        key: term.key,
        leaseId: term.leaseId,
      },
      prefix,
      clusterId: expect.stringMatching(/^\d+$/) as string,
      candidates: [{ position: 1 }, { position: 2, value: 'bob', ttlGrantedSeconds: TTL_SECONDS }],
    });
    expect(await all.exit()).toBe(0);
    expect(json(all)).toEqual([expect.objectContaining({ election: 'e' })]);
  });
});

test('a queue that is larger than one reply of etcd', async ({ etcd, prefix, world }) => {
  const value = 'v'.repeat(16_000);
  await Promise.all(
    Array.from({ length: 300 }, (_, index) => world.own.put(`${prefix}e/${index}`).value(value).exec()),
  );
  await world.own.put(`${prefix}e/doc`).value('d'.repeat(1_000_000)).exec();
  const run = cli(etcd.endpoints, prefix);
  const [text, document, watch] = [run(['status', 'e']), run(['status', '--json']), run(['watch', 'e'])];
  expect(await text.exit()).toBe(0);
  expect(text.stdout.split('\n')).toHaveLength(2 + 301 + 1);
  expect(await document.exit()).toBe(0);
  expect((json(document) as unknown as { candidates: object[] }[])[0]!.candidates).toHaveLength(301);
  await watch.says(/leads/, START_MS);
  expect(watch.stdout).not.toContain('unknown');
  watch.child.kill('SIGINT');
  await watch.exit();
  const evict = run(['evict', 'e', '--yes']);
  expect(await evict.exit()).toBe(0);
  expect(evict.stdout.length).toBeLessThan(300);
});

describe('watch', () => {
  test('prints a line for every change, also "nobody leads", until it is interrupted', async ({
    etcd,
    prefix,
    candidate,
  }) => {
    const program = cli(etcd.endpoints, prefix)(['watch', 'e']);
    await program.says(/^\S+Z {2}nobody leads$/m, START_MS);
    const alice = candidate('alice');
    const term = await alice.campaign();
    await program.says(new RegExp(`^\\S+Z {2}alice leads \\(token ${term.fencingToken}\\)$`, 'm'), SOON_MS);
    await alice.election.close();
    await program.says(/nobody leads\n.*alice leads.*\n.*nobody leads\n$/, SOON_MS);

    program.child.kill('SIGINT');

    expect(await program.exit()).toBe(0);
  });

  test('an outage of etcd is printed while it lasts, and then the leader', async ({
    etcd,
    prefix,
    candidate,
  }) => {
    await using proxy = await startProxy({ target: etcd.endpoints[0]! });
    await candidate('alice').campaign();
    const program = cli([proxy.endpoint], prefix)(['watch', 'e', '--command-timeout', '1s']);
    await program.says(/alice leads/, START_MS);
    proxy.stall();
    await program.says(/the leader is unknown: .*\n$/, START_MS);
    proxy.resume();
    await program.says(/the leader is unknown.*\n(.*\n)*.*alice leads/, START_MS);
    program.child.kill('SIGINT');
    expect(await program.exit()).toBe(0);
  });

  test('ends at once on a signal although etcd hangs, and prints nothing more', async ({ etcd, prefix }) => {
    await using proxy = await startProxy({ target: etcd.endpoints[0]! });
    const hangsFor = '60s';
    const program = cli([proxy.endpoint], prefix)(['watch', 'e', '--command-timeout', hangsFor]);
    await program.says(/nobody leads/, START_MS);
    proxy.stall();
    await program.says(/the leader is unknown: etcd has confirmed nothing for one TTL/, 10_000 + START_MS);
    const { stdout } = program; // a probe is under way by now: one begins every 2 s

    program.child.kill('SIGINT');

    expect(await within(START_MS, 'the exit', program.exit())).toBe(0);
    expect(program.stdout).toBe(stdout);
  });

  test('ends at once on a signal although etcd hangs from the start', async ({ etcd, prefix }) => {
    await using proxy = await startProxy({ target: etcd.endpoints[0]! });
    proxy.stall();
    const program = cli([proxy.endpoint], prefix)(['watch', 'e', '--command-timeout', '60s']);
    await eventually(() => proxy.connections > 0, { withinMs: START_MS });
    program.child.kill('SIGINT');
    expect(await within(START_MS, 'the exit', program.exit())).toBe(0);
    expect(program.stdout).toBe('');
  });

  test('without etcd it says so and tries again', async () => {
    const program = etcdElection(['watch', 'e'], { ETCDCTL_ENDPOINTS: '127.0.0.1:1' });
    await program.says(/the leader is unknown: cannot reach etcd at .*ECONNREFUSED/, START_MS);
    program.child.kill('SIGINT');
    expect(await program.exit()).toBe(0);
  });

  test('--json prints one document a line', async ({ etcd, prefix, candidate }) => {
    const term = await candidate('alice').campaign();
    const program = cli(etcd.endpoints, prefix)(['watch', 'e', '--json']);
    await program.says(/\n/, START_MS);
    program.child.kill('SIGTERM');
    expect(await program.exit()).toBe(0);
    expect(json(program)).toMatchObject({
      election: 'e',
      leader: { value: 'alice', fencingToken: String(term.fencingToken) },
    });
  });
});

describe('evict', () => {
  test("ends exactly the leader's term", async ({ etcd, prefix, candidate }) => {
    const run = cli(etcd.endpoints, prefix);
    const [alice, bob] = [candidate('alice'), candidate('bob')];
    const term = await alice.campaign();
    void bob.campaign();
    await bob.queued();

    const other = run(['evict', 'e', '--yes', '--token', '1', '--json']);
    expect(await other.exit()).toBe(4);
    expect(json(other)).toMatchObject({ evicted: false, reason: 'another term' });
    expect(term.isCurrent()).toBe(true);
    const program = run(['evict', 'e', '--yes', '--token', String(term.fencingToken)]);

    expect(await program.exit()).toBe(0);
    expect(program.stdout).toBe(`e: ended the term of alice (token ${term.fencingToken})\n`);
    await bob.elected();
    expect(term.signal.reason).toMatchObject({ reason: 'evicted' });
    await alice.queued(); // it enters again
  });

  test('needs --yes without a terminal, and exits with 3 if nobody leads', async ({
    etcd,
    prefix,
    candidate,
  }) => {
    const run = cli(etcd.endpoints, prefix);
    const nobody = run(['evict', 'e', '--yes']);
    expect(await nobody.exit()).toBe(3);
    const term = await candidate('alice').campaign();
    const program = run(['evict', 'e']);
    expect(await program.exit()).toBe(2);
    expect(program.stderr).toContain('--yes');
    expect(term.isCurrent()).toBe(true);
  });
});

describe('doctor', () => {
  test('a healthy etcd is fit, and no key remains', async ({ etcd, prefix, world }) => {
    const program = cli(etcd.endpoints, prefix)(['doctor', '--json']);
    expect(await program.exit()).toBe(0);
    const { sound, findings } = json(program) as {
      sound: boolean;
      findings: { check: string; verdict: string }[];
    };
    expect(sound).toBe(true);
    const checks = findings.map(({ check }) => check);
    expect(checks).toEqual(expect.arrayContaining(['alarms', 'lease', 'permissions', 'latency']));
    expect((await world.own.getAll().prefix(prefix).keys()).length).toBe(0);
  });

  test('one of two endpoints is unreachable: it is named, and the cluster is still fit', async ({
    etcd,
    prefix,
  }) => {
    const program = cli([...etcd.endpoints, 'http://127.0.0.1:1'], prefix)(['doctor']);
    expect(await program.exit()).toBe(0);
    expect(program.stdout).toMatch(/! member http:\/\/127\.0\.0\.1:1: cannot be reached: .*ECONNREFUSED/);
    expect(program.stdout).toContain('\nfit for elections');
  });
});

describe('standard output that cannot be written', () => {
  test('a full device and a closed pipe are failures', async ({ etcd, prefix }) => {
    const shell = (script: string): Program =>
      new Program('-c', [`"$0" "$1" status --prefix ${prefix} ${script}`, process.execPath, bin], {
        node: 'bash',
        env: { ETCDCTL_ENDPOINTS: etcd.endpoints.join() },
      });
    const [full, closed] = [shell('> /dev/full'), shell('--json | true; exit ${PIPESTATUS[0]}')];
    expect(await full.exit()).toBe(1);
    expect(full.stderr).toMatch(/^etcd-election: cannot write: ENOSPC/);
    expect(await closed.exit()).toBe(1);
    expect(closed.stderr).toBe('');
  });
});

describe('text that other clients have written', () => {
  const EVIL = [
    '\u001b]0;owned\u0007',
    '\u009b31m',
    '\u202eevil',
    '\r\n* leads  mallory',
    '\u2028',
    '\u200f',
    '\u{e0041}',
  ];
  // eslint-disable-next-line no-control-regex -- that is the point
  const UNCLEAN = /(?!\n)[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\u{e0000}-\u{e007f}]/u;

  test('is cleaned before it reaches a terminal: names, keys and values in every command', async ({
    etcd,
    prefix,
    world,
  }) => {
    const evil = EVIL.join('');
    const run = cli(etcd.endpoints, prefix);
    await world.own.put(`${prefix}${evil}/1${evil}`).value(evil).exec();
    await world.own.put(`${prefix}tame/1${evil}`).value(evil).exec();
    const watcher = run(['watch', 'tame']); // a name with control characters is refused
    await watcher.says(/leads/, START_MS);
    watcher.child.kill('SIGINT');
    const programs = [watcher, run(['status']), run(['status', '--json']), run(['status', evil])];
    for (const program of programs) await program.over(); // before its key is deleted
    programs.push(
      run(['watch', evil]),
      run(['watch', evil, '--typo', evil]),
      run(['evict', evil, '--yes', '--token', '1']),
      run(['evict', evil, '--yes']),
      run(['evict', evil, '--yes']),
      run(['run', evil, '--', `/no/${evil}`]),
      run(['doctor', '--ttl', evil]),
      run(['profile', `http://127.0.0.1:1/${evil}`]),
      run([evil]),
      etcdElection(['status', '--prefix', `${evil}/`], { ETCDCTL_ENDPOINTS: etcd.endpoints.join() }),
    );
    for (const program of programs) await program.over();
    for (const program of programs)
      expect(JSON.stringify(program.stdout + program.stderr)).toBe(
        JSON.stringify((program.stdout + program.stderr).replace(new RegExp(UNCLEAN, 'gu'), '')),
      );
    const [, , document, text] = programs;
    expect(text!.stdout.split('\n')).toHaveLength(4); // the text adds no line of its own
    expect(JSON.stringify(json(document!))).toContain(JSON.stringify(evil).slice(1, -1));
  });
});

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

describe('the command lines in docs/cli.md', () => {
  test('name each flag and each exit code', async () => {
    const docs = readFileSync(join(ROOT, 'docs/cli.md'), 'utf8');
    for (const command of ['run', 'status', 'watch', 'evict', 'doctor', 'profile', 'completion', 'demo']) {
      const help = etcdElection([command, '--help']);
      expect(await help.exit()).toBe(0);
      for (const [flag] of help.stdout.matchAll(/--[a-z][a-z-]+/g))
        expect(docs, `${command} ${flag}`).toContain(flag);
    }
    for (const code of [0, 1, 2, 3, 4, 126, 127]) expect(docs).toMatch(new RegExp(`^\\| ${code} `, 'm'));
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
});
