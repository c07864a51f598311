import { expect, test } from 'vitest';
import { poll } from '../support/poll.ts';

test('polls until the value is as expected, also with a negation', async () => {
  let looks = 0;
  await poll(() => ++looks, 5_000).toBe(3);
  await poll(() => Promise.resolve(++looks), 5_000).not.toBe(4);
  expect(looks).toBe(5);
});

test('rejects with what it saw last', async () => {
  await expect(poll(() => 'nothing', 20).toEqual('something')).rejects.toThrow(
    /expected 'nothing' to deeply equal 'something'/,
  );
});

test('a stall that is longer than the limit does not end it', async () => {
  const WITHIN_MS = 1_000;
  let hasArrived = false;
  setImmediate(() => {
    const untilMs = performance.now() + WITHIN_MS + 100;
    while (performance.now() < untilMs);
    setTimeout(() => (hasArrived = true), 100); // the others go on after the stall too
  });
  await poll(() => hasArrived, WITHIN_MS).toBe(true);
});
