import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Outage } from '../../src/logging/outage.ts';

beforeEach(() => void vi.useFakeTimers({ toFake: ['performance', 'Date', 'hrtime'] }));
afterEach(() => void vi.useRealTimers());

test('an outage is reported at first, every minute, and when its cause changes', () => {
  const outage = new Outage();
  expect(outage.note('refused')).toBe(0);
  vi.advanceTimersByTime(30_000);
  expect(outage.note('refused')).toBeUndefined();
  expect(outage.note('expired')).toBe(30_000);
  vi.advanceTimersByTime(59_000);
  expect(outage.note('expired')).toBeUndefined();
  vi.advanceTimersByTime(1_000);
  expect(outage.note('expired')).toBe(90_000);
  expect(outage.reason).toBe('expired');
  expect(outage.over()).toBe(90_000);
  expect(outage.over()).toBeUndefined();
});

test('alternating causes are not reported each time', () => {
  const outage = new Outage();
  expect(outage.note('a')).toBe(0);
  let told = 0;
  for (let second = 0; second < 60; second++) {
    vi.advanceTimersByTime(1_000);
    if (outage.note(second % 2 === 0 ? 'b' : 'a') !== undefined) told++;
  }
  expect(told).toBeLessThanOrEqual(12);
});

test('the time that was left for a call makes no new cause', () => {
  const outage = new Outage();
  expect(outage.note('no answer within 1500 ms')).toBe(0);
  for (const ms of [1499, 999, 0, 1498, 997]) {
    vi.advanceTimersByTime(6_000);
    expect(outage.note(`no answer within ${ms} ms`)).toBeUndefined();
  }
  vi.advanceTimersByTime(6_000);
  expect(outage.note('connect ECONNREFUSED 127.0.0.1:2379')).toBe(36_000);
});
