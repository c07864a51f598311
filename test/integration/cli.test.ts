import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect } from 'vitest';
import { Program, ROOT } from '../support/programs.ts';
import { test } from '../support/world.ts';
import { cli, commandPath, etcdElection, json } from '../support/cli-program.ts';

// The command as a process, as people run it.

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
      new Program('-c', [`"$0" "$1" status --prefix ${prefix} ${script}`, process.execPath, commandPath()], {
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
