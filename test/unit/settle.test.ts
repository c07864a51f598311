import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { sharedAbort } from '../../src/util/abort.ts';
import { settle, settledWithin } from '../../src/util/settle.ts';

const never = new Promise<never>(() => undefined);
const forever = { withinMs: Number.POSITIVE_INFINITY };

test('a result or an error within the limit is the outcome', async () => {
  const instead = (): never => expect.unreachable();
  expect(await settle(Promise.resolve(7), forever, instead)).toBe(7);
  await expect(settle(Promise.reject(new Error('no')), forever, instead)).rejects.toThrow('no');
});

test('the limit and the abort each have their own outcome', async () => {
  const { signal } = new AbortController();
  expect(await settle(never, { withinMs: 1, signal }, (ended) => ended)).toBe('timeout');
  expect(await settle(never, { ...forever, signal: AbortSignal.abort() }, (ended) => ended)).toBe('aborted');
  const fail = (): never => {
    throw new Error('too late');
  };
  await expect(settle(never, { withinMs: 1 }, fail)).rejects.toThrow('too late');
});

test('a result that arrived while the event loop was blocked is in time', async () => {
  await turn(); // timers fire before what arrives after the block
  const arrived = turn().then(() => 'arrived');
  const waiting = settle(arrived, { withinMs: 5 }, (ended) => ended);
  const untilMs = performance.now() + 20;
  while (performance.now() < untilMs);
  expect(await waiting).toBe('arrived');
});

test('a later result changes nothing, and a later rejection is handled', async () => {
  let reject!: (error: Error) => void;
  const late = new Promise<never>((_, no) => (reject = no));
  expect(await settle(late, { withinMs: 1 }, (ended) => ended)).toBe('timeout');
  reject(new Error('unheard'));
});

test('no listener remains on the signal, and no timer', async () => {
  const stop = sharedAbort();
  let calls = 0;
  await settle(Promise.resolve(), { ...forever, signal: stop.signal }, () => calls++);
  stop.abort();
  expect(calls).toBe(0);
  const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
  const before = timers();
  await settle(Promise.resolve(), { withinMs: 60_000 }, () => calls++);
  expect(timers()).toBe(before);
});

test('an abort ends a wait that has no limit', async () => {
  const stop = sharedAbort();
  const settled = settledWithin(never, 60_000, stop.signal);
  stop.abort();
  expect(await settled).toBe(true);
  expect(await settledWithin(never, 1)).toBe(false);
  expect(await settledWithin(Promise.resolve(), 60_000)).toBe(true);
});
