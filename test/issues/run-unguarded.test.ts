// `run` loaded its guardian from a file when the term began, and never looked whether the guardian was ready. After an
// upgrade moved that file, the command ran without a guardian. If `run` was then killed, the command outlived the lease.
import { renameSync } from 'node:fs';
import { dirname } from 'node:path';
import { expect } from 'vitest';
import { commandPath, START_MS } from '../support/cli-program.ts';
import { FOR_EVER, guardianOf, pidOf, run } from '../support/cli-run-program.ts';
import { eventually } from '../support/eventually.ts';
import { isAlive } from '../support/programs.ts';
import { SOON_MS, test, TTL_SECONDS } from '../support/world.ts';

test('S5: the package was moved while run waited: after SIGKILL of run, its guardian still kills the command', async ({
  etcd,
  prefix,
  candidate,
}) => {
  const bob = candidate('bob');
  await bob.campaign();
  const program = run({ ...etcd, prefix }, FOR_EVER);
  await program.says(/place 2 in the queue/, START_MS, 'stderr');
  const folder = dirname(commandPath());
  renameSync(folder, `${folder}-old`);
  try {
    await bob.election.close();
    const pid = await pidOf(program);

    program.child.kill('SIGKILL');

    await eventually(() => !isAlive(pid), { withinMs: SOON_MS });
  } finally {
    renameSync(`${folder}-old`, folder);
  }
});

test('a guardian that ends unasked is logged, once a minute, and replaced', async ({ etcd, prefix }) => {
  const program = run({ ...etcd, prefix }, FOR_EVER);
  await pidOf(program);
  const first = await guardianOf(program);
  process.kill(first, 'SIGKILL');
  await program.says(/guardian process ended \(SIGKILL\)/, SOON_MS, 'stderr');
  const second = await guardianOf(program, first);
  process.kill(second, 'SIGKILL');
  await guardianOf(program, second);
  expect(program.stderr.match(/guardian process ended/g)).toHaveLength(1);
  program.child.kill('SIGTERM');
  expect(await program.exit()).toBe(143);
  expect(program.stderr.match(/guardian process ended/g)).toHaveLength(1); // it is silent about the end that run asks for
  expect(TTL_SECONDS).toBeLessThan(30); // both ends lie within one minute
});
