import { setTimeout as sleep } from 'node:timers/promises';
import { resetLoopGuards } from 'etcd-election/dev';
import { expect } from 'vitest';
import { expectHeld, watch } from '../support/hot-loop.ts';
import { test } from '../support/world.ts';

// A test suite with an election of its own for each test, on one client: from the fifth test on campaign() took 2.1 s.

/** Milliseconds that a hold of the guard takes at least, well above what a campaign needs. */
const HELD_MS = 1_500;

test('G2: elections that are closed in order, one after another on one client, are not held', async ({
  election,
  client,
  log,
}) => {
  const shared = client();
  const tookMs: number[] = [];
  for (let i = 0; i < 14; i++) {
    const one = election(shared, `suite-${i}`);
    const begunAtMs = performance.now();
    await one.campaign();
    tookMs.push(performance.now() - begunAtMs);
    await one.close();
  }
  expect(Math.max(...tookMs)).toBeLessThan(HELD_MS);
  expect(log.of('session.held')).toEqual([]);
  expect(log.of('guard.tripped')).toEqual([]);
});

test('G3, G6: leases that are lost in quick succession: the hold is said, and resetLoopGuards() ends it', async ({
  election,
  client,
  world,
  log,
}) => {
  const shared = client();
  let turn = 0;
  const loseOne = async (): Promise<number> => {
    const one = election(shared, `lost-${turn++}`);
    const begunAtMs = performance.now();
    const term = await one.campaign();
    const tookMs = performance.now() - begunAtMs;
    await world.own.leaseClient.leaseRevoke({ ID: term.leaseId });
    await one.close(); // often before we know of the loss: this is no orderly close all the same
    return tookMs;
  };
  for (let i = 0; i < 4; i++) await loseOne();
  expect(log.of('session.held').length).toBeGreaterThan(0);

  resetLoopGuards();
  expect(await loseOne()).toBeLessThan(HELD_MS);
});

test('G1, G2: an honest lead() every two seconds is not held, a loop without a pause is', async ({
  election,
  client,
}) => {
  const job = election(client(), 'job');
  const lateMs: number[] = [];
  for (let i = 0; i < 8; i++) {
    const begunAtMs = performance.now();
    await job.lead(async () => lateMs.push(performance.now() - begunAtMs));
    await sleep(2_000);
  }
  expect(Math.max(...lateMs)).toBeLessThan(HELD_MS);
  expectHeld(await watch(() => job.lead(async () => undefined)));
});
