import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect } from 'vitest';
import { commandPath } from '../support/cli-program.ts';
import { Program, ROOT } from '../support/programs.ts';
import { test } from '../support/world.ts';

// `etcd-election run` as process 1 of a container: the image needs no init of its own.

const START_MS = 20_000;

const UNSHARE = ['--pid', '--fork', '--kill-child', '--mount-proc'];
const mayUnshare = spawnSync('unshare', [...UNSHARE, 'true']).status === 0;

/** Each available major version of Node: the one that runs the tests, and those of `npm run node:fetch`. */
const nodes = new Map<string, string | undefined>(
  ['20', '22', '24'].map((major) => {
    const fetched = join(ROOT, `node_modules/.cache/node-${major}/package/bin/node`);
    if (process.versions.node.startsWith(`${major}.`)) return [major, process.execPath];
    return [major, existsSync(fetched) ? fetched : undefined];
  }),
);

/** Ends at once, and its parent does not wait for it. */
const ORPHAN = "sh -c 'sleep 0.1 & :'";
/** Prints the number of zombies: as soon as there are none, or after ten seconds. */
const COUNT_ZOMBIES =
  'for _ in $(seq 50); do sleep 0.2; ' +
  "n=$(grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l); [ $n = 0 ] && break; done; echo zombies $n;";
const WAIT_FOR_TERM = `trap 'echo tidy; exit 9' TERM; echo "pid $$"; while :; do sleep 0.1; done`;

describe.each([...nodes])('as process 1 under Node %s', (major, node) => {
  const canRun = mayUnshare && node !== undefined;
  test.skipIf(!canRun)(
    `reaps orphans, passes SIGTERM on, ends with the code of the command${canRun ? '' : ' (skipped: needs root, unshare, and npm run node:fetch)'}`,
    async ({ etcd, prefix, world }) => {
      const script = `${ORPHAN}; ${ORPHAN}; ${COUNT_ZOMBIES} ${WAIT_FOR_TERM}`;
      const program = new Program(
        UNSHARE[0]!,
        [
          ...UNSHARE.slice(1),
          node!,
          '--no-warnings',
          commandPath(),
          'run',
          'e',
          '--prefix',
          prefix,
          '--',
          'sh',
          '-c',
          script,
        ],
        { node: 'unshare', env: { ETCDCTL_ENDPOINTS: etcd.endpoints.join() } },
      );
      await program.says(/pid \d+/, START_MS);
      expect(program.stdout).toContain('zombies 0\n');
      expect(await world.keys()).toHaveLength(1);
      const children = readFileSync(`/proc/${program.pid}/task/${program.pid}/children`, 'utf8');

      process.kill(Number(children.trim().split(' ')[0]), 'SIGTERM');

      expect(await program.exit()).toBe(9);
      expect(program.stdout).toContain('tidy\n');
      expect(program.stderr).not.toContain('not reaped');
      expect(await world.keys()).toEqual([]); // the key was deleted, and did not wait for the TTL
    },
  );
});

test('the documented images start the command itself, never npm', () => {
  const files = [
    'docs/cli.md',
    'examples/kubernetes/any-command.yaml',
    'examples/kubernetes/deployment.yaml',
  ];
  for (const file of files) {
    const text = readFileSync(join(ROOT, file), 'utf8');
    for (const [line] of text.matchAll(/^.*(?:ENTRYPOINT|command:) ?\[.*$/gm))
      expect(line, file).toMatch(/\[["'](?:\S*node_modules\/\.bin\/etcd-election|node)["'],/);
  }
});
