import { spawnSync } from 'node:child_process';
import { startEtcd } from 'etcd-election/dev';
import { Etcd3 } from 'etcd3';
import { describe, expect, onTestFinished } from 'vitest';
import { commandPath } from '../support/cli-program.ts';
import { Program } from '../support/programs.ts';
import { SOON_MS, test } from '../support/world.ts';

// What a person sees at a terminal: `script` provides one.

const START_MS = 20_000;
const hasScript = spawnSync('script', ['--version']).status === 0;

/** Runs the command on its own terminal. Text that is written to its input counts as typed. */
function atTerminal(args: readonly string[], env: NodeJS.ProcessEnv): Program {
  const line = [process.execPath, commandPath(), ...args].map((word) => `'${word}'`).join(' ');
  return new Program('-qec', [line, '/dev/null'], {
    node: 'script',
    input: 'pipe',
    env: { TERM: 'dumb', ...env },
  });
}

const CTRL_C = '\u0003';
const CTRL_D = '\u0004';

describe.skipIf(!hasScript)(hasScript ? 'evict' : 'evict (skipped: no script(1))', () => {
  test.for([
    ['n\r', 4],
    ['\r', 4],
    [CTRL_C, 4],
    [CTRL_D, 4],
    ['y\r', 0],
  ] as const)('the answer %j: exit code %i', async ([typed, code], { etcd, prefix, candidate }) => {
    const term = await candidate('alice').campaign();
    const program = atTerminal(['evict', 'e', '--prefix', prefix], {
      ETCDCTL_ENDPOINTS: etcd.endpoints.join(),
    });
    await program.says(/end the term of alice .*\[y\/N\]/, START_MS);

    program.child.stdin!.write(typed);

    expect(await program.exit(), program.said).toBe(code);
    if (code !== 0) expect(term.isCurrent()).toBe(true);
  });
});

describe.skipIf(!hasScript)(hasScript ? 'a password' : 'a password (skipped: no script(1))', () => {
  test('the prompt asks for it, and does not show it', async () => {
    await using etcd = await startEtcd();
    const admin = new Etcd3({ hosts: etcd.endpoints });
    onTestFinished(() => admin.close());
    const root = await admin.role('root').create();
    await (await admin.user('root').create('secret-word')).addRole(root);
    await admin.auth.authEnable();

    const program = atTerminal(['status', 'e', '--user', 'root'], {
      ETCDCTL_ENDPOINTS: etcd.endpoints.join(),
    });
    await program.says(/Password of etcd's user root: /, START_MS);
    program.child.stdin!.write('secret-word\r');

    expect(await program.exit(), program.said).toBe(3);
    expect(program.stdout).toContain('e: nobody leads');
    expect(program.stdout).not.toContain('secret-word');
    admin.close();
  });

  test(
    'without a terminal: a wrong command line',
    async ({ etcd }) => {
      const program = new Program(commandPath(), ['status', '--user', 'root'], {
        env: { ETCDCTL_ENDPOINTS: etcd.endpoints.join() },
      });
      expect(await program.exit()).toBe(2);
      expect(program.stderr).toContain('ETCDCTL_PASSWORD');
      expect(program.stderr.split('\n')).toHaveLength(2);
    },
    2 * SOON_MS + START_MS,
  );
});
