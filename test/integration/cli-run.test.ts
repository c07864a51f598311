import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startProxy } from 'etcd-election/dev';
import { afterAll, beforeAll, describe, expect, onTestFinished } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { compile, isAlive, Program, ROOT } from '../support/programs.ts';
import { SOON_MS, test, TTL_SECONDS } from '../support/world.ts';

// `etcd-election run`: the command is dead before the key is deleted.

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

/** A shell script as the command. It prints `pid N` after it has set its traps. */
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

/** Process ID of the command, once it is ready. The command never outlives the test. */
async function pidOf(program: Program): Promise<number> {
  const pid = Number((await program.says(/pid (\d+)/, START_MS))[1]);
  onTestFinished(() => {
    if (isAlive(pid)) process.kill(-pid, 'SIGKILL');
  });
  return pid;
}

const FOR_EVER = 'echo "pid $$"; while :; do sleep 0.1; done';
/** Ends in good order after SIGTERM, with a short delay. */
const TIDY = `trap 'sleep 0.3; echo tidy; exit 0' TERM; ${FOR_EVER}`;
const STUBBORN = `trap 'echo "will not"' TERM INT; ${FOR_EVER}`;

describe('the command', () => {
  test('runs while we lead, knows its term, and ends with our exit code', async ({ etcd, prefix, world }) => {
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
    expect(await world.keys()).toEqual([]); // the key was deleted at once
  });

  test('by a signal: 128 + N; not found: 127; not executable: 126, with the reason, also with -q', async ({
    etcd,
    prefix,
  }) => {
    const killed = run({ ...etcd, prefix }, 'kill -9 $$');
    expect(await killed.exit()).toBe(137);
    const command = (name: string): Program =>
      new Program(bin, ['run', 'e', '-q', '--prefix', prefix, '--', name], {
        env: { ETCDCTL_ENDPOINTS: etcd.endpoints.join() },
      });
    const [missing, nameless, notExecutable] = [
      command('/nowhere/to/be/found'),
      command('no-such-command'),
      command(join(ROOT, 'package.json')),
    ];
    expect(await missing.exit()).toBe(127);
    expect(missing.stderr).toBe(
      'etcd-election: /nowhere/to/be/found could not be started: no such command\n',
    );
    expect(await nameless.exit()).toBe(127);
    expect(nameless.stderr).toContain('no-such-command could not be started: no such command');
    expect(await notExecutable.exit()).toBe(126);
    expect(notExecutable.stderr).toContain('package.json could not be started: permission denied');
  });

  test('processes that it leaves in its group die before the key is deleted', async ({
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
  test('SIGTERM: the runner passes it on, the command ends in good order, then the key is deleted', async ({
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

  test('SIGTERM that the command ignores: SIGKILL after --stop-timeout', async ({
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

  test('without etcd a command that ignores SIGTERM gets SIGKILL before the lease expires; then the runner campaigns again', async ({
    etcd,
    prefix,
    candidate,
  }) => {
    await using proxy = await startProxy({ target: etcd.endpoints[0]! });
    const program = run({ endpoints: [proxy.endpoint], prefix }, STUBBORN);
    const pid = await pidOf(program);
    const alive: boolean[] = [];
    const bob = candidate('bob', { onLeader: () => void alive.push(isAlive(pid)) });
    void bob.campaign();
    await bob.queued();

    proxy.stall();

    await program.says(/will not/, TTL_SECONDS * 1000);
    await bob.elected(3 * TTL_SECONDS * 1000);
    expect(alive).toEqual([false]);
    proxy.resume();
    await program.says(/place 2 in the queue/, 2 * TTL_SECONDS * 1000, 'stderr');
    program.child.kill('SIGTERM');
    expect(await program.exit()).toBe(143); // no command ran, so only the signal counts
  });

  test('SIGKILL of the runner: the command dies too', async ({ etcd, prefix }) => {
    const program = run({ ...etcd, prefix }, STUBBORN);
    const pid = await pidOf(program);
    await program.says(/started sh/, START_MS, 'stderr'); // from here on the guardian watches it

    program.child.kill('SIGKILL');

    await eventually(() => !isAlive(pid), { withinMs: SOON_MS });
  });
});

describe('evicted by an operator', () => {
  test('stops the command and campaigns again at the back of the queue', async ({
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
    await program.says(/pid \d+[^]*pid \d+/, SOON_MS); // it leads and runs again
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
      .filter((line) => line.startsWith('{')) // the shell prints a line too
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
    const program = new Program('-e', [parent, bin, 'run', 'e', '--prefix', prefix, '--', 'sh', '-c', TIDY], {
      env: { ETCDCTL_ENDPOINTS: etcd.endpoints.join() },
    });
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

describe('for cron: only if the election is free', () => {
  const cron = (endpoints: readonly string[], prefix: string, flags: string[], script: string): Program =>
    new Program(bin, ['run', 'e', '--prefix', prefix, ...flags, '--', 'sh', '-c', script], {
      env: { ETCDCTL_ENDPOINTS: endpoints.join() },
    });

  test('--if-free exits with 4 at once if another one leads, leaves no key, and runs otherwise', async ({
    etcd,
    prefix,
    candidate,
    world,
  }) => {
    const alice = candidate('alice');
    await alice.campaign();
    const [taken, other] = [
      cron(etcd.endpoints, prefix, ['--if-free'], 'echo ran'),
      cron(etcd.endpoints, prefix, ['--if-free', '--conflict-exit-code', '0', '-q'], 'echo ran'),
    ];
    expect(await taken.exit()).toBe(4);
    expect(taken.stderr).toContain('"e" has a leader; command not run');
    expect(await other.exit()).toBe(0);
    expect(taken.stdout + other.stdout + other.stderr).toBe('');
    expect(await world.keys()).toHaveLength(1);
    await alice.election.close();

    const free = cron(etcd.endpoints, prefix, ['--if-free'], 'echo ran; exit 5');

    expect(await free.exit()).toBe(5);
    expect(free.stdout).toBe('ran\n');
  });

  test('three hosts at once and a late one: with --hold the command runs once', async ({ etcd, prefix }) => {
    const once = (): Program =>
      cron(etcd.endpoints, prefix, ['--if-free', '--hold', '1m', '--value', 'cli'], 'echo "ran "');
    const three = [once(), once(), once()];
    await eventually(() => three.filter(({ isOver }) => isOver).length === 2, { withinMs: START_MS });
    const winner = three.find(({ isOver }) => !isOver)!;
    await winner.says(/ran/, START_MS);
    const late = once();
    expect(await late.exit()).toBe(4);
    expect([...three, late].map(({ stdout }) => stdout).join('')).toBe('ran \n');
    winner.child.kill('SIGTERM'); // ends the hold
    expect(await winner.exit()).toBe(0);
  });

  test('--wait exits with 4 when the time is up, and runs if its turn comes in time', async ({
    etcd,
    prefix,
    candidate,
  }) => {
    const alice = candidate('alice');
    await alice.campaign();
    const impatient = cron(etcd.endpoints, prefix, ['--wait', '300ms'], 'echo ran');
    expect(await impatient.exit()).toBe(4);
    expect(impatient.stdout).toBe('');
    const patient = cron(etcd.endpoints, prefix, ['--wait', '2m'], 'echo ran');
    await patient.says(/place 2/, START_MS, 'stderr');
    await alice.election.close();
    expect(await patient.exit()).toBe(0);
    expect(patient.stdout).toBe('ran\n');
  });

  test('without etcd the exit code is 1 within one request time', async ({ prefix }) => {
    const program = cron(['127.0.0.1:1'], prefix, ['--if-free', '--command-timeout', '1s'], 'echo ran');
    expect(await program.exit()).toBe(1);
    expect(program.stderr).toContain('cannot reach etcd at http://127.0.0.1:1');
  });

  test('a lost leadership exits with 3, and the runner does not campaign again', async ({
    etcd,
    prefix,
    world,
  }) => {
    const program = cron(etcd.endpoints, prefix, ['--if-free'], FOR_EVER);
    await pidOf(program);
    const [key] = await world.keys();
    await world.own.delete().key(key!);
    expect(await program.exit()).toBe(3);
  });
});

describe('refused by etcd', () => {
  test('an argument that etcd or we refuse exits with 1 or 2, with the reason', async ({ prefix }) => {
    const program = new Program(bin, ['run', 'a/b', '--prefix', prefix, '--', 'true']);
    expect(await program.exit()).toBe(2);
    expect(program.stderr).toContain('"/"');
  });
});
