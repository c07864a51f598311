// Process 1 of a container may not reap orphans. `kill` reaches zombies too, so `run` waited 5 s for them, and then said
// that they still run.
import { spawnSync } from 'node:child_process';
import { expect } from 'vitest';
import { commandPath } from '../support/cli-program.ts';
import { Program } from '../support/programs.ts';
import { test } from '../support/world.ts';

const UNSHARE = ['--pid', '--fork', '--kill-child', '--mount-proc'];
const mayUnshare = spawnSync('unshare', [...UNSHARE, 'true']).status === 0;

/** Process 1: it waits only for its own child. */
const CARELESS = `const { spawn } = require('node:child_process');
const [file, ...args] = process.argv.slice(1);
spawn(process.execPath, [file, ...args], { stdio: 'inherit' }).once('exit', (code) => process.exit(code));`;

/** When each log line arrived. */
async function linesOf(program: Program): Promise<Map<string, number>> {
  const atMs = new Map<string, number>();
  program.child.stderr!.on('data', (text: string) => {
    for (const line of text.trim().split('\n'))
      atMs.set((JSON.parse(line) as { event: string }).event, performance.now());
  });
  await program.over();
  return atMs;
}

test.skipIf(!mayUnshare)(
  'zombies in the group of the command do not delay its end, and are not an error',
  async ({ etcd, prefix }) => {
    const command = ['sh', '-c', 'sleep 60 & sleep 1; exit 7'];
    const args = [commandPath(), 'run', 'e', '--json', '--prefix', prefix, '--', ...command];
    const program = new Program(
      UNSHARE[0]!,
      [...UNSHARE.slice(1), process.execPath, '-e', CARELESS, '--', ...args],
      { node: 'unshare', env: { ETCDCTL_ENDPOINTS: etcd.endpoints.join() } },
    );
    const atMs = await linesOf(program);
    expect(await program.exit()).toBe(7);
    expect([...atMs.keys()]).not.toContain('command.immortal');
    expect(atMs.get('command.ended')! - atMs.get('command.started')!).toBeLessThan(5_000);
  },
);
