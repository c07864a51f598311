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
