import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { WriteFailures, type FailureCounts } from '../../src/term/write-failures.ts';

const failure = { reason: 'no answer', isOutcomeUnknown: true };

test('the first failure is reported at once, and the rest when the term ends', () => {
  const told: FailureCounts[] = [];
  const failures = new WriteFailures((counts) => told.push(counts));
  for (let count = 0; count < 4; count++) failures.failed(failure);
  expect(told.map((counts) => counts.failures)).toEqual([1]);
  failures.ended();
  expect(told.map((counts) => counts.failures)).toEqual([1, 3]);
});

test('writes that fail in the drain are reported once, when the drain is over', async () => {
  const told: FailureCounts[] = [];
  const failures = new WriteFailures((counts) => told.push(counts));
  failures.draining();
  for (let count = 0; count < 5; count++) {
    failures.failed(failure);
    await nextTurn();
  }
  expect(told.map((counts) => counts.failures)).toEqual([1]);
  failures.ended();
  expect(told.map((counts) => counts.failures)).toEqual([1, 4]);
});

test('writes that fail together after the end of their term are reported, in one event', async () => {
  const told: FailureCounts[] = [];
  const failures = new WriteFailures((counts) => told.push(counts));
  failures.failed(failure);
  failures.ended();
  for (let count = 0; count < 3; count++) failures.failed(failure);
  await nextTurn();
  failures.failed(failure);
  await nextTurn();
  expect(told).toEqual([
    { failures: 1, unknownOutcomes: 1, reason: 'no answer' },
    { failures: 3, unknownOutcomes: 3, reason: 'no answer' },
    { failures: 1, unknownOutcomes: 1, reason: 'no answer' },
  ]);
});
