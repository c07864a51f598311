// The shell that starts the command of `run` may drop variables such as `discovery.type`. Nothing said so.
import { spawnSync } from 'node:child_process';
import { expect } from 'vitest';
import { commandPath } from '../support/cli-program.ts';
import { Program } from '../support/programs.ts';
import { test } from '../support/world.ts';

const UNSHARE = ['--pid', '--fork', '--kill-child', '--mount-proc'];
const mayUnshare = spawnSync('unshare', [...UNSHARE, 'true']).status === 0;

test.for([
  ['as usual', false],
  ['as process 1', true],
] as const)(
  'a variable that the command does not get is named: %s',
  async ([, isFirst], { etcd, prefix, skip }) => {
    if (isFirst && !mayUnshare) skip('needs root and unshare');
    const args = ['run', 'e', '-q', '--prefix', prefix, '--', 'env'];
    const env = { ETCDCTL_ENDPOINTS: etcd.endpoints.join(), 'discovery.type': 'secret', plain_name: 'kept' };
    const program = isFirst
      ? new Program(UNSHARE[0]!, [...UNSHARE.slice(1), process.execPath, commandPath(), ...args], {
          node: 'unshare',
          env,
        })
      : new Program(commandPath(), args, { env });
    expect(await program.exit()).toBe(0);
    expect(program.stdout).toContain('plain_name=kept\n');
    expect(program.stderr).not.toMatch(/plain_name|secret/);
    // A shell may also keep the variable. Then there is nothing to say.
    const isKept = program.stdout.includes('discovery.type=secret\n');
    expect(program.stderr.match(/does not get .*"discovery\.type"/g) ?? []).toHaveLength(isKept ? 0 : 1);
  },
);

const NAMES = { 'discovery.type': 'secret', plain_name: 'kept' };
/** As on a machine without Perl: what is there cannot be executed. The mount is seen only by this process and its children. */
const HIDE_PERL =
  'for f in /usr/bin/perl /bin/perl /usr/local/bin/perl; do [ ! -e $f ] || mount --bind /dev/null $f || exit; done; exec "$@"';
const WITHOUT_EXECVE = ['--import', 'data:text/javascript,process.execve=undefined'];

test.skipIf(!mayUnshare)(
  'as process 1 without execve and Perl, a variable is named once',
  async ({ etcd, prefix }) => {
    // The shell that hides Perl may drop the variable. So `env` sets it afterwards.
    const node = ['env', 'discovery.type=secret', process.execPath, ...WITHOUT_EXECVE, commandPath()];
    const args = [...UNSHARE.slice(1), 'sh', '-c', HIDE_PERL, 'sh', ...node];
    const run = ['run', 'e', '-q', '--prefix', prefix, '--', 'env'];
    const env = { ETCDCTL_ENDPOINTS: etcd.endpoints.join(), ...NAMES };
    const program = new Program(UNSHARE[0]!, [...args, ...run], { node: 'unshare', env });
    expect(await program.exit(), program.said).toBe(0);
    expect(program.stderr).toContain('orphaned processes are not reaped here');
    const isKept = program.stdout.includes('discovery.type=secret\n');
    expect(program.stderr.match(/does not get/g) ?? []).toHaveLength(isKept ? 0 : 1);
  },
);

test.skipIf(!mayUnshare)(
  'as process 1 with --json, the line about a variable is JSON',
  async ({ etcd, prefix }) => {
    const run = ['run', 'e', '-q', '--json', '--prefix', prefix, '--', 'env'];
    const args = [...UNSHARE.slice(1), process.execPath, commandPath(), ...run];
    const env = { ETCDCTL_ENDPOINTS: etcd.endpoints.join(), ...NAMES };
    const program = new Program(UNSHARE[0]!, args, { node: 'unshare', env });
    expect(await program.exit(), program.said).toBe(0);
    const isKept = program.stdout.includes('discovery.type=secret\n');
    const lines = program.stderr.split('\n').filter((line) => line.includes('does not get'));
    expect(lines).toHaveLength(isKept ? 0 : 1);
    for (const line of lines)
      expect(JSON.parse(line)).toMatchObject({ event: 'command.variables', lost: ['discovery.type'] });
  },
);
