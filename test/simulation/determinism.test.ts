/** The same seed gives the same run, to the last message of the network. */
import { beforeAll, expect, it } from 'vitest';
import { bundle } from './process/bundle.ts';
import type { Code } from './process/code.ts';
import { run, setupOf, type Setup } from './run/run.ts';

let code: Code;
beforeAll(async () => {
  code = await bundle();
});

const SHORT_MS = 40_000;

/** Only its first faults. */
const short = (setup: Setup): Setup => ({
  ...setup,
  forMs: SHORT_MS,
  faults: setup.faults.filter(({ atMs, forMs }) => atMs + forMs < SHORT_MS),
});

it.each([1, 2, 3, 4, 5])('seed %i gives the same messages twice', (seed) => {
  const first = run(short(setupOf(seed)), code);
  const second = run(short(setupOf(seed)), code);
  expect(first.world.trace.messages).toBeGreaterThan(100);
  expect(second.hash).toBe(first.hash);
  expect(second.world.record.told).toEqual(first.world.record.told);
});

it('another seed gives other messages', () => {
  expect(run(short(setupOf(1)), code).hash).not.toBe(run(short(setupOf(2)), code).hash);
});
