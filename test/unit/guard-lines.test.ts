import { expect, test } from 'vitest';
import {
  fullQuota,
  lastOfTheBurst,
  LINES_AT_ONCE,
  MS_PER_LINE,
  OF_ALL,
  spend,
} from '../../src/core/log-quota.ts';

test('G5, G6: the line about the tripped guard ends the burst; then six lines a minute follow', () => {
  let quota = lastOfTheBurst(0);
  const writtenAtMs: number[] = [];
  for (let nowMs = 0; nowMs <= 60_000; nowMs += 100) {
    const step = spend(quota, nowMs);
    quota = step.quota;
    if (step.written) writtenAtMs.push(nowMs);
  }
  expect(writtenAtMs).toEqual([1, 2, 3, 4, 5, 6].map((line) => line * MS_PER_LINE));
});

test('G5: a thousand elections that lose etcd together share a quota', () => {
  let all = fullQuota(0, OF_ALL);
  let written = 0;
  for (let election = 0; election < 1_000; election++)
    for (let line = 0; line < LINES_AT_ONCE; line++) {
      const step = spend(all, 0, OF_ALL);
      all = step.quota;
      if (step.written) written++;
    }
  expect(written).toBe(OF_ALL.atOnce);
  expect(all.suppressed).toBe(1_000 * LINES_AT_ONCE - OF_ALL.atOnce);
  expect(spend(all, OF_ALL.msPerLine, OF_ALL).written).toBe(true);
});
