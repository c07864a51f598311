// On Node 20 an HTTP/2 stream that is reset while an answer is being taken in can make Node send empty frames for ever: a
// whole core, a gigabyte in seconds, and no JavaScript runs any more (nodejs/node#64113). A watch closed by what follows an
// answer, such as a campaign that has just given its seat up, did just that.
import { expect } from 'vitest';
import { compile, Program } from '../support/programs.ts';
import { SOON_MS, test } from '../support/world.ts';

test('G5: calls and watches that are given up as an answer comes in do not make HTTP/2 spin', async ({
  world,
}) => {
  const [file] = await compile(['test/support/reset-child.ts']);
  const child = new Program(file!, [world.etcd.endpoints[0]!]);
  await child.says(/^40 of 40$/m, 2 * SOON_MS);
  expect(await child.exit()).toBe(0);
});
