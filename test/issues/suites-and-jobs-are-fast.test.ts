import { setTimeout as sleep } from 'node:timers/promises';
import { resetLoopGuards } from 'etcd-election/dev';
import { expect } from 'vitest';
import { expectHeld, holdsDuring, watch } from '../support/hot-loop.ts';
import { test } from '../support/world.ts';

// A test suite has one client and a new election for each test. From the fifth test on campaign() took 2.1 s.

/** No renewal falls into these tests. */
const ttlSeconds = 300;

test('G2: elections of one client that are closed one after another are not held', async ({
  election,
  client,
  log,
}) => {
  const shared = client();
  for (let i = 0; i < 14; i++) {
    const one = election(shared, `suite-${i}`, { ttlSeconds });
    expect(await holdsDuring(() => one.campaign())).toEqual([]);
    await one.close();
  }
  expect(log.of('session.held')).toEqual([]);
  expect(log.of('guard.tripped')).toEqual([]);
});

test('G3, G6: leases that are lost in quick succession: the hold is logged, and resetLoopGuards() ends it', async ({
  election,
  client,
  world,
  log,
}) => {
  const shared = client();
  let turn = 0;
  const loseOne = async (): Promise<number[]> => {
    const one = election(shared, `lost-${turn++}`, { ttlSeconds });
    const held = await holdsDuring(() => one.campaign());
    await world.own.leaseClient.leaseRevoke({ ID: one.currentTerm!.leaseId });
    await one.close(); // often we do not know of the loss yet: this close() is still not orderly
    return held;
  };
  const held: number[] = [];
  for (let i = 0; i < 4; i++) held.push(...(await loseOne()));
  expect(held).not.toEqual([]);
  expect(log.of('session.held').length).toBeGreaterThan(0);

  resetLoopGuards();
  expect(await loseOne()).toEqual([]);
});

test('G1, G2: an honest lead() every two seconds is not held, a loop without a pause is', async ({
  election,
  client,
}) => {
  const job = election(client(), 'job', { ttlSeconds });
  for (let i = 0; i < 8; i++) {
    expect(await holdsDuring(() => job.lead(async () => undefined))).toEqual([]);
    await sleep(2_000);
  }
  expectHeld(await watch(() => job.lead(async () => undefined)));
});
