import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startProxy } from 'etcd-election/dev';
import { afterAll, beforeAll, describe, expect, onTestFinished } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { compile, isAlive, Program, ROOT } from '../support/programs.ts';
import { SOON_MS, test, TTL_SECONDS } from '../support/world.ts';

// `etcd-election run`: the command is dead before the seat is free.

const START_MS = 15_000;

let bin: string;
let folder: string;
beforeAll(async () => {
  [bin] = (await compile(['src/cli/bin.ts'])) as [string];
  folder = mkdtempSync(join(tmpdir(), 'etcd-election-run-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Run {
  readonly endpoints: readonly string[];
  readonly prefix: string;
  readonly flags?: readonly string[];
}

/** A shell script as the command; it says `pid N` once its traps are set. */
function run({ endpoints, prefix, flags = [] }: Run, script: string): Program {
  const command = ['sh', '-c', `${script}`];
  const program = new Program(
    bin,
    [
      'run',
      'e',
      '--prefix',
      prefix,
      '--ttl',
      String(TTL_SECONDS),
      '--value',
      'cli',
      ...flags,
      '--',
      ...command,
    ],
    { env: { ETCDCTL_ENDPOINTS: endpoints.join() } },
  );
  return program;
}

/** Process ID of the command, once it is ready. It never outlives the test. */
async function pidOf(program: Program): Promise<number> {
  const pid = Number((await program.says(/pid (\d+)/, START_MS))[1]);
  onTestFinished(() => {
    if (isAlive(pid)) process.kill(-pid, 'SIGKILL');
  });
  return pid;
}

const FOR_EVER = 'echo "pid $$"; while :; do sleep 0.1; done';
/** Ends in good order when it is asked to, after a while. */
const TIDY = `trap 'sleep 0.3; echo tidy; exit 0' TERM; ${FOR_EVER}`;
const STUBBORN = `trap 'echo "will not"' TERM INT; ${FOR_EVER}`;

describe('the command', () => {
  test('runs while we lead, knows its term, and its end is ours', async ({ etcd, prefix, world }) => {
    const program = run({ ...etcd, prefix }, 'env | grep ^ETCD_ELECTION_; exit 7');

    expect(await program.exit()).toBe(7);

    const variables = Object.fromEntries(
      program.stdout
        .trim()
        .split('\n')
        .map((line) => line.split('=')),
    ) as Record<string, string>;
    expect(variables['ETCD_ELECTION_NAME']).toBe('e');
    expect(variables['ETCD_ELECTION_KEY']).toBe(`${prefix}e/${variables['ETCD_ELECTION_LEASE']}`);
    expect(BigInt(variables['ETCD_ELECTION_TOKEN']!)).toBeGreaterThan(0n);
    const validUntilMs = Number(variables['ETCD_ELECTION_VALID_UNTIL']);
    expect(Math.abs(validUntilMs - Date.now())).toBeLessThan(TTL_SECONDS * 1000 + START_MS);
    expect(await world.keys()).toEqual([]); // the seat was free at once
  });

  test('killed by a signal: 128 + N; not there: 127; not executable: 126', async ({ etcd, prefix }) => {
    const killed = run({ ...etcd, prefix }, 'kill -9 $$');
    expect(await killed.exit()).toBe(137);
    const command = (name: string): Program =>
      new Program(bin, ['run', 'e', '--prefix', prefix, '--', name], {
        env: { ETCDCTL_ENDPOINTS: etcd.endpoints.join() },
      });
    expect(await command('/nowhere/to/be/found').exit()).toBe(127);
    expect(await command(join(ROOT, 'package.json')).exit()).toBe(126);
  });

  test('what it leaves behind in its group dies before the seat is free', async ({
    etcd,
    prefix,
    candidate,
  }) => {
    const program = run(
      { ...etcd, prefix },
      'sh -c "trap : TERM HUP; while :; do sleep 0.1; done" & echo "pid $$ left $!"; sleep 1',
    );
    const left = Number((await program.says(/left (\d+)/, START_MS))[1]);
    const bob = candidate('bob');
    void bob.campaign();
    await bob.queued();
    await bob.elected(SOON_MS);
    expect(isAlive(left)).toBe(false);
    expect(await program.exit()).toBe(0);
  });
});

describe('S5: the command is dead before the next one leads', () => {
  test('asked to stop: the signal is passed on, the command ends in good order, then the seat is free', async ({
    etcd,
    prefix,
    candidate,
  }) => {
    const program = run({ ...etcd, prefix }, TIDY);
    const pid = await pidOf(program);
    const bob = candidate('bob', { onLeader: () => expect(isAlive(pid)).toBe(false) });
    void bob.campaign();
    await bob.queued();

    program.child.kill('SIGTERM');

    await bob.elected(SOON_MS);
    expect(isAlive(pid)).toBe(false);
    expect(await program.exit()).toBe(0);
    expect(program.stdout).toContain('tidy');
  });

  test('asked to stop, and the command does not: SIGKILL after --stop-timeout', async ({
    etcd,
    prefix,
    candidate,
  }) => {
    const program = run({ ...etcd, prefix, flags: ['--stop-timeout', '500ms'] }, STUBBORN);
    const pid = await pidOf(program);
    const bob = candidate('bob');
    void bob.campaign();
    await bob.queued();

    program.child.kill('SIGTERM');

    await bob.elected(SOON_MS);
    expect(isAlive(pid)).toBe(false);
    expect(await program.exit()).toBe(137);
    expect(program.stdout).toContain('will not');
  });

  test('cut off from etcd, and the command does not stop: SIGKILL before the lease can expire; then it stands again', async ({
    etcd,
    prefix,
    candidate,
  }) => {
    await using proxy = await startProxy({ target: etcd.endpoints[0]! });
    const program = run({ endpoints: [proxy.endpoint], prefix }, STUBBORN);
    const pid = await pidOf(program);
    const bob = candidate('bob');
    void bob.campaign();
    await bob.queued();

    proxy.stall();

    await program.says(/will not/, TTL_SECONDS * 1000);
    await eventually(() => !isAlive(pid), { withinMs: TTL_SECONDS * 1000 });
    expect(bob.election.status.state).toBe('waiting'); // etcd still has the seat taken
    await bob.elected(2 * TTL_SECONDS * 1000);
    proxy.resume();
    await program.says(/place 2 in the queue/, 2 * TTL_SECONDS * 1000, 'stderr');
    program.child.kill('SIGTERM');
    expect(await program.exit()).toBe(143); // nothing ran: nothing but the signal to tell of
  });

  test('killed itself: the command does not outlive it', async ({ etcd, prefix }) => {
    const program = run({ ...etcd, prefix }, STUBBORN);
    const pid = await pidOf(program);
    await program.says(/started sh/, START_MS, 'stderr'); // from here on it is guarded

    program.child.kill('SIGKILL');

    await eventually(() => !isAlive(pid), { withinMs: SOON_MS });
  });
});

describe('evicted by an operator', () => {
  test('stops the command and stands again, at the back of the queue', async ({
    etcd,
    prefix,
    world,
    candidate,
  }) => {
    const program = run({ ...etcd, prefix }, TIDY);
    const pid = await pidOf(program);
    const bob = candidate('bob');
    void bob.campaign();
    await bob.queued();
    const [first] = await world.keys();

    await world.own.delete().key(first!);

    await eventually(() => !isAlive(pid), { withinMs: SOON_MS });
    await bob.elected();
    await program.says(/place 2 in the queue/, SOON_MS, 'stderr');
    await bob.election.close();
    await program.says(/pid \d+[^]*pid \d+/, SOON_MS); // it leads, and runs, again
    program.child.kill('SIGTERM');
    expect(await program.exit()).toBe(0);
  });

  test('--once: ends with code 3', async ({ etcd, prefix, world }) => {
    const program = run({ ...etcd, prefix, flags: ['--once', '--json'] }, TIDY);
    await pidOf(program);
    const [key] = await world.keys();

    await world.own.delete().key(key!);

    expect(await program.exit()).toBe(3);
    const events = program.stderr
      .trim()
      .split('\n')
      .filter((line) => line.startsWith('{')) // the shell has a word to say too
      .map((line) => (JSON.parse(line) as { event: string }).event);
    expect(events).toEqual(
      expect.arrayContaining(['term.started', 'command.started', 'command.ended', 'term.ended']),
    );
  });
});

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

  test('while we wait, one that stops us ends us, and our place is given up', async ({
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

/** The first Node that can turn into another program, and may be process 1 of a namespace of ours. */
const asInit = ((): string | undefined => {
  const node = [
    process.execPath,
    ...['22', '24'].map((major) => join(ROOT, `node_modules/.cache/node-${major}/package/bin/node`)),
  ].find(
    (path) =>
      existsSync(path) &&
      spawnSync(path, ['-p', 'typeof process.execve'], { encoding: 'utf8' }).stdout === 'function\n',
  );
  const mayUnshare = spawnSync('unshare', ['--pid', '--fork', '--mount-proc', 'true']).status === 0;
  return mayUnshare ? node : undefined;
})();

describe.skipIf(asInit === undefined)(
  'as process 1 (skipped without Node 22.15 and unshare: npm run node:fetch)',
  () => {
    test('reaps orphans, passes signals on, ends with the code of the command', async ({ etcd, prefix }) => {
      // An orphan that ends: without anybody who waits for it, it stays a zombie.
      const script = `sh -c 'sleep 0.1 & :'; sleep 0.5; echo "zombies $(grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l)"; trap 'exit 9' TERM; ${FOR_EVER}`;
      const args = ['--pid', '--fork', '--kill-child', '--mount-proc', asInit!, '--no-warnings', bin];
      const program = new Program(
        args.shift()!,
        [...args, 'run', 'e', '--prefix', prefix, '--', 'sh', '-c', script],
        {
          node: 'unshare',
          env: { ETCDCTL_ENDPOINTS: etcd.endpoints.join() },
        },
      );
      await program.says(/pid \d+/, START_MS);
      expect(program.stdout).toContain('zombies 0\n');
      const [init] = readFileSync(`/proc/${program.pid}/task/${program.pid}/children`, 'utf8')
        .trim()
        .split(' ');
      expect(readFileSync(`/proc/${init}/comm`, 'utf8')).toBe('sh\n'); // it has become one

      process.kill(Number(init), 'SIGTERM');

      expect(await program.exit()).toBe(9);
    });
  },
);

describe('refused by etcd', () => {
  test('an argument that etcd or we refuse: code 1 or 2, and why', async ({ prefix }) => {
    const program = new Program(bin, ['run', 'a/b', '--prefix', prefix, '--', 'true']);
    expect(await program.exit()).toBe(2);
    expect(program.stderr).toContain('"/"');
  });
});
