/** A simulated process can reach only the world: it has no clock, timer, socket or random number of its own. */
import vm from 'node:vm';
import { beforeAll, expect, it } from 'vitest';
import { bundle } from './process/bundle.ts';
import type { Code } from './process/code.ts';
import { run, setupOf } from './run/run.ts';

let code: Code;
beforeAll(async () => {
  code = await bundle();
});

it('needs nothing of Node but what the world provides', () => {
  // A fresh context has JavaScript's own globals, but no require, process, timer or fetch.
  expect(
    vm.runInContext('typeof require + typeof process + typeof setTimeout + typeof fetch', vm.createContext()),
  ).toBe('undefined'.repeat(4));
  const { violations, world } = run({ ...setupOf(1), faults: [], forMs: 20_000 }, code);
  expect(violations).toEqual([]);
  expect(world.record.terms).toBe(1);
});

/** Only its first faults. */
const SHORT_MS = 60_000;

it.each([1, 2, 3])(
  'processes send the same messages with shared code and in separate contexts: seed %i',
  async (seed) => {
    const setup = setupOf(seed, SHORT_MS);
    const apart = run(setup, await bundle([], { isApart: true, hasStacks: true }));
    const together = run(setup, code);
    expect(together.hash).toBe(apart.hash);
    expect(together.world.record.told).toEqual(apart.world.record.told);
  },
);

it('refuses a module that is not on the list', async () => {
  const edit = {
    file: 'index.ts',
    find: '/**\n * etcd-election',
    replace: "import 'node:dns';\n/**\n * etcd-election",
  };
  await expect(bundle([edit])).rejects.toThrow('"node:dns" is not simulated');
});

it('refuses an edit whose text is not in the file', async () => {
  await expect(bundle([{ file: 'index.ts', find: 'no such text', replace: '' }])).rejects.toThrow(
    'no such text',
  );
});
