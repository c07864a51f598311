import { expect, test } from 'vitest';
import { ReconnectBackoff, RenewalBackoff } from '../../src/client/reconnect-backoff.ts';
import { clock } from '../../src/util/clock.ts';

const never = new AbortController().signal;

/** Whether a pass of the client's pace comes through while timers that are already due are all that fire. */
async function passesAtOnce(pass: Promise<void>): Promise<boolean> {
  let isThrough = false;
  void pass.then(() => (isThrough = true));
  await clock.sleep(1);
  return isThrough;
}

test('L4: whoever dials for the client leaves it to a lease that may still be saved', async () => {
  const shared = new ReconnectBackoff({});
  const renewal = new RenewalBackoff(3, shared);
  await renewal.pass(never);
  const pass = shared.pass(never);
  expect(await passesAtOnce(pass)).toBe(false);
  shared.wake(); // it got through
  expect(await passesAtOnce(pass)).toBe(true);
});

test('L4: a lease that is lost keeps nobody from dialling', async () => {
  const shared = new ReconnectBackoff({});
  const renewal = new RenewalBackoff(3, shared);
  await renewal.pass(never);
  const pass = shared.pass(never);
  expect(await passesAtOnce(pass)).toBe(false);
  renewal.end();
  expect(await passesAtOnce(pass)).toBe(true);
});

test('L4: a lease that is lost while its next try is held keeps nobody from dialling', async () => {
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
