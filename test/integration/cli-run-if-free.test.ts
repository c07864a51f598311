import { describe, expect } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { Program } from '../support/programs.ts';
import { test } from '../support/world.ts';
import { commandPath, START_MS } from '../support/cli-program.ts';
import { FOR_EVER, pidOf } from '../support/cli-run-program.ts';

describe('for cron: only if the election is free', () => {
  const cron = (endpoints: readonly string[], prefix: string, flags: string[], script: string): Program =>
    new Program(commandPath(), ['run', 'e', '--prefix', prefix, ...flags, '--', 'sh', '-c', script], {
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
