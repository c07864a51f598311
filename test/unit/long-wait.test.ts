import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { clock } from '../../src/util/clock.ts';
import { LongWait } from '../../src/campaign/long-wait.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const HOUR_S = 3_600;

test('a long wait is reported after 5 s, and then less and less often', () => {
  const told: number[] = [];
  const wait = new LongWait();
  wait.begin((waitedMs) => told.push(Math.round(waitedMs / 1_000)));
  vi.advanceTimersByTime(3 * HOUR_S * 1_000);
  expect(told).toEqual([5, 60, 600, HOUR_S, 2 * HOUR_S, 3 * HOUR_S]);
  wait.pause();
  expect(vi.getTimerCount()).toBe(0);
});

test('an interrupted wait continues; after a term a new one begins', () => {
  const told: number[] = [];
  const tell = (waitedMs: number): void => void told.push(Math.round(waitedMs / 1_000));
  const wait = new LongWait();
  wait.begin(tell);
  vi.advanceTimersByTime(30_000);
  wait.pause();
  vi.advanceTimersByTime(20_000);
  wait.begin(tell);
  vi.advanceTimersByTime(10_000);
  expect(told).toEqual([5, 60]);
  wait.end();
  vi.advanceTimersByTime(HOUR_S * 1_000);
  wait.begin(tell);
  vi.advanceTimersByTime(5_000);
  expect(told).toEqual([5, 60, 5]);
  wait.pause();
});

test('after a suspension there is one report, not one for each that was missed', () => {
  const told: number[] = [];
  const wait = new LongWait();
  const now = vi.spyOn(clock, 'now');
  let nowMs = 0;
  now.mockImplementation(() => nowMs);
  wait.begin((waitedMs) => told.push(waitedMs));
  nowMs = 100 * HOUR_S * 1_000 + 1;
  vi.advanceTimersByTime(5_000);
  vi.advanceTimersByTime(60_000);
  expect(told).toEqual([nowMs]);
  wait.end();
  now.mockRestore();
});
