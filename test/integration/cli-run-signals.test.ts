import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { isAlive, Program } from '../support/programs.ts';
import { SOON_MS, test } from '../support/world.ts';
import { commandPath, START_MS } from '../support/cli-program.ts';
import { FOR_EVER, pidOf, run, STUBBORN, TIDY } from '../support/cli-run-program.ts';

// `etcd-election run` passes signals on, and its own end does not leave the command behind.

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'etcd-election-run-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('signals', () => {
  test('are passed on to the whole group', async ({ etcd, prefix }) => {
    const file = join(folder, 'signals');
    const program = run(
      { ...etcd, prefix },
      `trap 'echo usr1 >> ${file}' USR1; trap 'echo int >> ${file}; exit 5' INT; ${FOR_EVER}`,
    );
    await pidOf(program);

    program.child.kill('SIGUSR1');
    await eventually(() => readFileSync(file, 'utf8') === 'usr1\n', { withinMs: SOON_MS });
    program.child.kill('SIGINT');

    expect(await program.exit()).toBe(5);
    expect(readFileSync(file, 'utf8')).toBe('usr1\nint\n');
  });

  test('a stop signal while we wait ends the runner and gives up its place', async ({
    etcd,
    prefix,
    candidate,
    world,
  }) => {
    await candidate('alice').campaign();
    const program = run({ ...etcd, prefix }, 'echo "pid $$"');
    await program.says(/place 2 in the queue/, START_MS, 'stderr');

    program.child.kill('SIGTERM');

    expect(await program.exit()).toBe(143);
    expect(program.stdout).toBe('');
    expect((await world.keys()).length).toBe(1);
  });
});

describe('started by npx', () => {
  test('npm dies of SIGTERM without passing it on: the command ends in good order, and the key is deleted', async ({
    etcd,
    prefix,
    world,
  }) => {
    const parent =
      "process.title = 'npm exec etcd-election'; " +
      "require('node:child_process').spawn(process.execPath, process.argv.slice(1), { stdio: 'inherit' });";
    const program = new Program(
      '-e',
      [parent, commandPath(), 'run', 'e', '--prefix', prefix, '--', 'sh', '-c', TIDY],
      {
        env: { ETCDCTL_ENDPOINTS: etcd.endpoints.join() },
      },
    );
    const pid = await pidOf(program);
    program.child.kill('SIGTERM');
    await program.says(/tidy/, SOON_MS);
    await eventually(async () => (await world.keys()).length === 0, { withinMs: SOON_MS });
    expect(isAlive(pid)).toBe(false);
  });
});

describe('a second Ctrl-C', () => {
  test('kills a command that ignores the first, long before --stop-timeout', async ({ etcd, prefix }) => {
    const program = run({ ...etcd, prefix, flags: ['--stop-timeout', '5m'] }, STUBBORN);
    await pidOf(program);
    program.child.kill('SIGINT');
    program.child.kill('SIGINT'); // npx passes on the same key press
    await program.says(/will not/, SOON_MS);
    const untilMs = performance.now() + 500;
    await eventually(() => performance.now() > untilMs, { withinMs: SOON_MS });
    expect(program.isOver).toBe(false);

    program.child.kill('SIGINT');

    expect(await program.exit()).toBe(137);
  });
});
