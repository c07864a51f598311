/** A simulated process reaches nothing but the world: no clock, timer, socket or random number of its own. */
import vm from 'node:vm';
import { beforeAll, expect, it } from 'vitest';
import { bundle } from './process/bundle.ts';
import { run, setupOf } from './run/run.ts';

let script: vm.Script;
beforeAll(async () => {
  script = await bundle();
});

it('needs nothing of Node but what the world gives', () => {
  // A fresh context has JavaScript's own globals, and no require, process, timer or fetch.
  expect(
    vm.runInContext('typeof require + typeof process + typeof setTimeout + typeof fetch', vm.createContext()),
  ).toBe('undefined'.repeat(4));
  const { violations, world } = run({ ...setupOf(1), faults: [], forMs: 20_000 }, script);
  expect(violations).toEqual([]);
  expect(world.record.terms).toBe(1);
});

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
