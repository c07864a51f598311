import { readFileSync } from 'node:fs';
import { describe, expect, onTestFinished } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { commandPath } from '../support/cli-program.ts';
import { guardianOf } from '../support/cli-run-program.ts';
import { isAlive, Program } from '../support/programs.ts';
import { SOON_MS, test, TTL_SECONDS } from '../support/world.ts';

// However the runner is stopped, its command never runs beside that of the next leader.

const START_MS = 20_000;
const TTL_MS = TTL_SECONDS * 1_000;

const FOR_EVER = 'echo "pid $$"; while :; do sleep 0.1; done';
const STUBBORN = `trap 'echo "will not"' TERM; ${FOR_EVER}`;

interface Running {
  readonly program: Program;
  readonly pid: number;
  readonly guardian: number;
}

async function running(endpoints: readonly string[], prefix: string, script: string): Promise<Running> {
  const flags = ['--prefix', prefix, '--ttl', String(TTL_SECONDS), '--value', 'cli'];
  const program = new Program(commandPath(), ['run', 'e', ...flags, '--', 'sh', '-c', script], {
    env: { ETCDCTL_ENDPOINTS: endpoints.join() },
  });
  const pid = Number((await program.says(/pid (\d+)/, START_MS))[1]);
  onTestFinished(() => {
    if (isAlive(pid)) process.kill(-pid, 'SIGKILL');
  });
  return { program, pid, guardian: await guardianOf(program) };
}

/** The state `T` means stopped. */
const stateOf = (pid: number): string | undefined =>
  /^\d+ \(.*\) (.)/s.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))?.[1];

const pids = ({ program }: Running): number => [...program.stdout.matchAll(/pid \d+/g)].length;

describe('S5: the runner is stopped with SIGSTOP', () => {
  test.for([
    ['a command that obeys', FOR_EVER],
    ['a command that ignores SIGTERM', STUBBORN],
  ] as const)(
    '%s is dead before the next one leads; after SIGCONT no second one starts',
    async ([, script], { etcd, prefix, candidate }) => {
      const run = await running(etcd.endpoints, prefix, script);
      const alive: boolean[] = [];
      const bob = candidate('bob', { onLeader: () => void alive.push(isAlive(run.pid)) });
      void bob.campaign();
      await bob.queued();

      run.program.child.kill('SIGSTOP');

      await bob.elected(3 * TTL_MS);
      expect(alive).toEqual([false]);

      run.program.child.kill('SIGCONT');

      await run.program.says(/place 2 in the queue/, START_MS, 'stderr');
      expect(pids(run)).toBe(1);
      run.program.child.kill('SIGTERM');
      expect(await run.program.exit()).toBe(143); // no command ran any more
    },
  );

  test('a stop shorter than the lease: the command continues', async ({ etcd, prefix, world }) => {
    const run = await running(etcd.endpoints, prefix, FOR_EVER);
    run.program.child.kill('SIGSTOP');
    await eventually(() => stateOf(run.program.pid) === 'T', { withinMs: SOON_MS });
    run.program.child.kill('SIGCONT');
    const [key] = await world.keys();
    // Waits until a lease without renewals would long have expired.
    const untilMs = performance.now() + 1.5 * TTL_MS;
    await eventually(() => performance.now() > untilMs, { withinMs: 2 * TTL_MS });
    expect(isAlive(run.pid)).toBe(true);
    expect(await world.keys()).toEqual([key]);
    run.program.child.kill('SIGTERM');
    expect(await run.program.exit()).toBe(143);
  });

  test('the guardian is killed first: a new one takes its place', async ({ etcd, prefix, candidate }) => {
    const run = await running(etcd.endpoints, prefix, FOR_EVER);
    process.kill(run.guardian, 'SIGKILL');
    await guardianOf(run.program, run.guardian);
    const alive: boolean[] = [];
    const bob = candidate('bob', { onLeader: () => void alive.push(isAlive(run.pid)) });
    void bob.campaign();
    await bob.queued();

    run.program.child.kill('SIGSTOP');

    await bob.elected(3 * TTL_MS);
    expect(alive).toEqual([false]);
    run.program.child.kill('SIGKILL');
    await run.program.over();
  });
});

describe('S5: Ctrl-Z', () => {
  test('stops the command with the runner; fg resumes both', async ({ etcd, prefix, world }) => {
    const run = await running(etcd.endpoints, prefix, FOR_EVER);
    const [key] = await world.keys();

    run.program.child.kill('SIGTSTP');

    await eventually(() => stateOf(run.program.pid) === 'T' && stateOf(run.pid) === 'T', {
      withinMs: SOON_MS,
    });

    run.program.child.kill('SIGCONT');

    await eventually(() => stateOf(run.program.pid) !== 'T' && stateOf(run.pid) !== 'T', {
      withinMs: SOON_MS,
    });
    expect(await world.keys()).toEqual([key]);
    run.program.child.kill('SIGTERM');
    expect(await run.program.exit()).toBe(143);
  });

  test('for longer than the lease: the command dies before the next leader, and fg starts no second one', async ({
    etcd,
    prefix,
    candidate,
  }) => {
    const run = await running(etcd.endpoints, prefix, STUBBORN);
    const alive: boolean[] = [];
    const bob = candidate('bob', { onLeader: () => void alive.push(isAlive(run.pid)) });
    void bob.campaign();
    await bob.queued();

    run.program.child.kill('SIGTSTP');

    await bob.elected(3 * TTL_MS);
    expect(alive).toEqual([false]);

    run.program.child.kill('SIGCONT');

    await run.program.says(/place 2 in the queue/, START_MS, 'stderr');
    expect(pids(run)).toBe(1);
    run.program.child.kill('SIGTERM');
    expect(await run.program.exit()).toBe(143);
  });

  test('and then SIGTERM: the command ends in good order after the runner continues', async ({
    etcd,
    prefix,
  }) => {
    const run = await running(etcd.endpoints, prefix, `trap 'echo tidy; exit 0' TERM; ${FOR_EVER}`);
    run.program.child.kill('SIGTSTP');
    await eventually(() => stateOf(run.program.pid) === 'T', { withinMs: SOON_MS });
    run.program.child.kill('SIGTERM');
    run.program.child.kill('SIGCONT');
    expect(await run.program.exit()).toBe(0);
    expect(run.program.stdout).toContain('tidy');
  });
});
