// On Node 20 an HTTP/2 stream that is reset while it receives an answer can make Node send empty frames for ever. That
// uses a whole core and a gigabyte within seconds, and no JavaScript runs any more (nodejs/node#64113). A watch that
// was closed right after an answer, as after a resignation, caused this.
import { expect } from 'vitest';
import { compile, Program } from '../support/programs.ts';
import { SOON_MS, test } from '../support/world.ts';

test('G5: calls and watches that are cancelled as an answer arrives do not make HTTP/2 spin', async ({
  world,
}) => {
  const [file] = await compile(['test/support/reset-child.ts']);
  const child = new Program(file!, [world.etcd.endpoints[0]!]);
  await child.says(/^40 of 40$/m, 6 * SOON_MS); // with a cold start; a child that spins never says it
  expect(await child.exit()).toBe(0);
});
