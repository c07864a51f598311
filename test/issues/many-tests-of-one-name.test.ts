import { resetLoopGuards } from 'etcd-election/dev';
import { expect } from 'vitest';
import { holdsDuring } from '../support/hot-loop.ts';
import { test, type World } from '../support/world.ts';

// docs/testing.md did not say that the guard delays a suite whose tests use one name, even if they all end cleanly.

/** Runs nine campaigns of one name, each with its own `Election`, as nine tests do. @returns which of them were held. */
async function heldOf(world: World, ofTest: (index: number) => { prefix?: string }): Promise<number[]> {
  const client = world.client();
  const held: number[] = [];
  for (let index = 1; index <= 9; index++) {
    const one = world.election(client, 'job', ofTest(index));
    if ((await holdsDuring(() => one.campaign())).length > 0) held.push(index);
    await one.close();
  }
  return held;
}

test('one name: the guard holds a late campaign of the suite', async ({ world, log }) => {
  const held = await heldOf(world, () => ({}));
  expect(held[0]).toBeGreaterThan(5);
  expect(log.of('guard.tripped')).not.toEqual([]);
});

test('a prefix for each test: no campaign is held', async ({ world, prefix }) => {
  expect(await heldOf(world, (index) => ({ prefix: `${prefix}${index}/` }))).toEqual([]);
});

test('resetLoopGuards() after each test: no campaign is held', async ({ world }) => {
  const held = await heldOf(world, () => {
    resetLoopGuards();
    return {};
  });
  expect(held).toEqual([]);
});
