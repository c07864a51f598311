// `run` computed the first order for its guardian once, and nobody renewed it. If the guardian started slowly, it killed a
// command with a sound lease. After a lost term, the command started nevertheless.
import { readFileSync } from 'node:fs';
import { expect, onTestFinished } from 'vitest';
import { cli, START_MS } from '../support/cli-program.ts';
import { run } from '../support/cli-run-program.ts';
import { eventually } from '../support/eventually.ts';
import { isAlive, type Program } from '../support/programs.ts';
import { SOON_MS, test, TTL_SECONDS } from '../support/world.ts';

const TTL_MS = TTL_SECONDS * 1_000;

test('S5: the first order expires while the guardian starts: the command runs, because the lease is renewed', async ({
  etcd,
  prefix,
}) => {
  const program = run({ ...etcd, prefix }, 'echo RAN');
  const guardian = await stoppedGuardianOf(program);
  await elapsed(TTL_MS + 1_000);
  process.kill(guardian, 'SIGCONT');
  expect(await program.exit(), program.said).toBe(0);
  expect(program.stdout).toContain('RAN');
});

test('S5: the first order is old when the guardian is ready: the command still outlives that order', async ({
  etcd,
  prefix,
}) => {
  const program = run({ ...etcd, prefix }, 'sleep 3; echo RAN');
  const guardian = await stoppedGuardianOf(program);
  await elapsed(TTL_MS * 0.72); // after the second renewal, and before the end of the first order
  process.kill(guardian, 'SIGCONT');
  expect(await program.exit(), program.said).toBe(0);
  expect(program.stdout).toContain('RAN');
});

test('S5: the term is lost while the guardian starts: the command never runs', async ({ etcd, prefix }) => {
  const program = run({ ...etcd, prefix, flags: ['--once'] }, 'echo RAN');
  const guardian = await stoppedGuardianOf(program);
  const evict = cli(etcd.endpoints, prefix)(['evict', 'e', '--yes']);
  expect(await evict.exit(), evict.said).toBe(0);
  await program.says(/evicted/, SOON_MS, 'stderr');
  if (isAlive(guardian)) process.kill(guardian, 'SIGCONT');
  expect(await program.exit(), program.said).toBe(3);
  expect(program.stdout).not.toContain('RAN');
});

/** Stops the guardian before its code runs: it does not have its process title yet. */
async function stoppedGuardianOf(program: Program): Promise<number> {
  const guardian = await eventually(
    () => {
      const children = readFileSync(`/proc/${program.pid}/task/${program.pid}/children`, 'utf8');
      const found = children.trim().split(' ').map(Number).find(isStarting);
      if (found === undefined) throw new Error('no guardian');
      return found;
    },
    { withinMs: START_MS },
  );
  process.kill(guardian, 'SIGSTOP');
  onTestFinished(() => {
    if (isAlive(guardian)) process.kill(guardian, 'SIGKILL');
  });
  return guardian;
}

function isStarting(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('--input-type=commonjs');
  } catch {
    return false; // it has ended
  }
}

async function elapsed(ms: number): Promise<void> {
  const dueMs = performance.now() + ms;
  await eventually(() => performance.now() >= dueMs, { withinMs: 2 * ms });
}
