import { expect, test } from 'vitest';
import { ReconnectBackoff, RenewalBackoff } from '../../src/client/reconnect-backoff.ts';
import { clock } from '../../src/util/clock.ts';

const never = new AbortController().signal;

/** Whether a pass of the client's back-off succeeds while only timers that are already due fire. */
async function passesAtOnce(pass: Promise<void>): Promise<boolean> {
  let isThrough = false;
  void pass.then(() => (isThrough = true));
  await clock.sleep(1);
  return isThrough;
}

test('L4: other callers leave the next dial to a lease that can still be saved', async () => {
  const shared = new ReconnectBackoff({});
  const renewal = new RenewalBackoff(3, shared);
  await renewal.pass(never);
  const pass = shared.pass(never);
  expect(await passesAtOnce(pass)).toBe(false);
  shared.wake(); // it succeeded
  expect(await passesAtOnce(pass)).toBe(true);
});

test('L4: a lost lease delays no dial', async () => {
  const shared = new ReconnectBackoff({});
  const renewal = new RenewalBackoff(3, shared);
  await renewal.pass(never);
  const pass = shared.pass(never);
  expect(await passesAtOnce(pass)).toBe(false);
  renewal.end();
  expect(await passesAtOnce(pass)).toBe(true);
});

test('L4: a lost lease whose next try is held delays no dial', async () => {
  const shared = new ReconnectBackoff({});
  const renewal = new RenewalBackoff(3, shared);
  const over = new AbortController();
  await renewal.pass(over.signal);
  const held = renewal.pass(over.signal);
  const pass = shared.pass(never);
  over.abort();
  renewal.end();
  await held;
  expect(await passesAtOnce(pass)).toBe(true);
});

test('G6: a try that the guard does not delay is not reported as delayed', async () => {
  const shared = new ReconnectBackoff({});
  const holds: number[] = [];
  for (let tries = 0; tries < 2; tries++) await shared.pass(never);
  await clock.sleep(400); // longer than the first delay, which counts from the last try
  await shared.pass(never, (holdMs) => holds.push(holdMs));
  expect(holds).toEqual([]);
});

test('G6: a try that the guard delays is reported', async () => {
  const shared = new ReconnectBackoff({});
  const holds: number[] = [];
  for (let tries = 0; tries < 3; tries++) await shared.pass(never, (holdMs) => holds.push(holdMs));
  expect(holds).toHaveLength(1);
  expect(holds[0]).toBeGreaterThan(0);
});
