import { expect, test } from 'vitest';
import { ReconnectBackoff, RenewalBackoff } from '../../src/client/reconnect-backoff.ts';
import { privateGuard, type GuardSettings } from '../../src/loop-guard/loop-guard.ts';
import { clock } from '../../src/util/clock.ts';
import { FakeClock } from '../support/fake-clock.ts';

const never = new AbortController().signal;

/** Whether a pass of the client's back-off succeeds while only timers that are already due fire. */
async function passesAtOnce(pass: Promise<void>): Promise<boolean> {
  let isThrough = false;
  void pass.then(() => (isThrough = true));
  await clock.sleep(1);
  return isThrough;
}

test('L4: other callers wait while a lease that can still be saved dials', async () => {
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

test.for([1, 2, 4])(
  'L5: after a wake, %i tries that share a guard come no later than its cap',
  async (passers) => {
    const settings: GuardSettings = {
      burst: 2,
      baseMs: 100,
      capMs: 2_200,
      outsideCapMs: 2_200,
      healthyAfterMs: 10_000,
    };
    for (let wakeAtMs = 60_000; wakeAtMs < 66_000; wakeAtMs += 500) {
      const time = new FakeClock();
      const guard = privateGuard(time);
      const over = new AbortController();
      const triesMs: number[] = [];
      const loop = async (): Promise<void> => {
        while (!over.signal.aborted) {
          await guard.pass('environment', settings);
          triesMs.push(time.now());
          await time.sleep(500); // it fails
        }
      };
      const wokenAtMs = time.now() + wakeAtMs;
      for (let passer = 0; passer < passers; passer++) void loop();
      await time.advance(wakeAtMs);
      guard.wake();
      await time.advance(15_000);
      over.abort();
      const gapsMs = triesMs.slice(1).map((atMs, index) => (atMs > wokenAtMs ? atMs - triesMs[index]! : 0));
      expect(Math.max(...gapsMs)).toBeLessThanOrEqual(settings.outsideCapMs + 1);
    }
  },
);
