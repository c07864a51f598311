import { expect, test } from 'vitest';
import { Semaphore } from '../../src/etcd/semaphore.ts';

test('an abort ends the wait for a place, and the place goes to the next caller', async () => {
  const places = new Semaphore(1);
  expect(await places.take()).toBe(true);
  const stop = new AbortController();
  const aborted = places.take({ signal: stop.signal });
  const next = places.take();
  stop.abort();
  expect(await aborted).toBe(false);
  places.give();
  expect(await next).toBe(true);
});

test('a place that comes in the moment of the abort is passed on', async () => {
  const places = new Semaphore(1);
  await places.take();
  const stop = new AbortController();
  const aborted = places.take({ signal: stop.signal });
  const next = places.take();
  places.give();
  stop.abort();
  expect(await aborted).toBe(false);
  expect(await next).toBe(true);
});
