// V8's profiler does not know code that was optimised before its start. Code was discarded before the start of the
// profile, and a short loop was optimised again in between. So some profiles named only the caller of the loop.
import { expect, test } from 'vitest';
import { compile, Program } from '../support/programs.ts';

test('every profile of a short synchronous loop names its function', async () => {
  const [file] = await compile(['test/support/loop-profile-child.ts']);
  const program = new Program(file!, ['16']);
  await program.over();
  const shares = [...program.stdout.matchAll(/guilty: (\d+) %/g)].map(([, share]) => Number(share));
  expect(shares, program.said).toHaveLength(16);
  expect(Math.min(...shares), program.said).toBeGreaterThan(50);
});
