import { join } from 'node:path';
import { startProxy } from 'etcd-election/dev';
import { describe, expect } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { isAlive, Program, ROOT } from '../support/programs.ts';
import { SOON_MS, test, TTL_SECONDS } from '../support/world.ts';
import { commandPath, START_MS } from '../support/cli-program.ts';
import { pidOf, run, STUBBORN, TIDY } from '../support/cli-run-program.ts';

// `etcd-election run`: the command is dead before the key is deleted.

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
      new Program(commandPath(), ['run', 'e', '-q', '--prefix', prefix, '--', name], {
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

describe('a long --ttl', () => {
  test('is accepted with a warning that names only what the command has', async ({ etcd, prefix }) => {
    const program = new Program(
      commandPath(),
      ['run', 'e', '--prefix', prefix, '--ttl', '3600', '--', 'true'],
      {
        env: { ETCDCTL_ENDPOINTS: etcd.endpoints.join() },
      },
    );
    expect(await program.exit()).toBe(0);
    expect(program.stderr).toContain('--ttl is 3600 s: if this machine dies');
    expect(program.stderr).not.toMatch(/allowLongTtl|ttlSeconds|\w\(\)|onLeader/);
  });
});

describe('refused by etcd', () => {
  test('an argument that etcd or we refuse exits with 1 or 2, with the reason', async ({ prefix }) => {
    const program = new Program(commandPath(), ['run', 'a/b', '--prefix', prefix, '--', 'true']);
    expect(await program.exit()).toBe(2);
    expect(program.stderr).toContain('"/"');
    for (const [name, ownPrefix, says] of [
      ['job-undefined', prefix, /^etcd-election run: NAME: expected no "undefined" in it/],
      ['job', `${prefix}/`, /^etcd-election run: --prefix: expected no "\/\/"/],
    ] as const) {
      const refused = new Program(commandPath(), ['run', name, '--prefix', ownPrefix, '--', 'true']);
      expect(await refused.exit()).toBe(2);
      expect(refused.stderr).toMatch(says);
    }
  });
});
