/**
 * Tests of the tests: the simulation finds deliberate mistakes in the library. All of them: `npm run simulate --
 * --mutants`.
 */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { mutants } from './mutants/all.ts';
import { crowdMutants } from './mutants/crowd.ts';
import { queueMutants } from './mutants/queue.ts';
import { hunt } from './mutants/hunt.ts';
import { crowdedSetupOf, queueSetupOf } from './run/run.ts';

it.each([...mutants, ...crowdMutants, ...queueMutants])(
  'finds the code that it changes: $name',
  ({ edits }) => {
    for (const { file, find } of edits)
      expect(readFileSync(`src/${file}`, 'utf8').split(find)).toHaveLength(2);
  },
);

const MOST_MS = 3_600_000;

it.each(['the second in the queue leads too', 'rounds are not held'])(
  'the simulation finds: %s',
  async (name) => {
    const { outcome } = await hunt(
      mutants.find((mutant) => mutant.name === name)!,
      MOST_MS,
    );
    expect(outcome?.violations).not.toEqual([]);
    expect(outcome).toBeDefined();
  },
);

// Some of the others need minutes: see `npm run simulate -- --mutants`.
it.each(crowdMutants.slice(0, 1))('the simulation of many elections finds: $name', async (mutant) => {
  const { outcome } = await hunt(mutant, MOST_MS, crowdedSetupOf);
  expect(outcome?.violations).not.toEqual([]);
  expect(outcome).toBeDefined();
});

it.each(queueMutants.slice(0, 1))('the simulation of long queues finds: $name', async (mutant) => {
  const { outcome } = await hunt(mutant, MOST_MS, queueSetupOf);
  expect(outcome?.violations).not.toEqual([]);
  expect(outcome).toBeDefined();
});
