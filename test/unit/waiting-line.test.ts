import { expect, test } from 'vitest';
import { clock } from '../../src/util/clock.ts';
import { settledWithin } from '../../src/util/settle.ts';
import { WaitingLine } from '../../src/util/waiting-line.ts';

const LIMIT_MS = 20;

const noneIsLate = (): never => {
  throw new Error('no value may come late');
};

test('a caller that waits longer than its limit in a moving line keeps its place', async () => {
  const line = new WaitingLine<string>();
  const first = line.wait({ withinMs: LIMIT_MS }, noneIsLate, () => clock.now());
  expect(await settledWithin(first, 2 * LIMIT_MS)).toBe(false);
  const second = line.wait({}, noneIsLate);
  expect(await settledWithin(first, 2 * LIMIT_MS)).toBe(false);
  expect(line.pass('a slot')).toBe(true);
  expect(line.pass('another slot')).toBe(true);
  expect(await Promise.all([first, second])).toEqual(['a slot', 'another slot']);
});

test('a line that has not moved within the limit ends the wait', async () => {
  const line = new WaitingLine<string>();
  const movedAtMs = clock.now() - 1;
  expect(await line.wait({ withinMs: LIMIT_MS }, noneIsLate, () => movedAtMs)).toBeUndefined();
  expect(line.pass('a slot')).toBe(false);
});

test('an abort ends the wait in a moving line', async () => {
  const line = new WaitingLine<string>();
  const stop = new AbortController();
  const waiting = line.wait({ withinMs: LIMIT_MS, signal: stop.signal }, noneIsLate, () => clock.now());
  expect(await settledWithin(waiting, 2 * LIMIT_MS)).toBe(false);
  stop.abort();
  expect(await waiting).toBeUndefined();
  expect(line.pass('a slot')).toBe(false);
});
