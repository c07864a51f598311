import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fullQuota, LINES_AT_ONCE, MS_PER_LINE, spend } from '../../src/core/log-quota.ts';

describe('the log quota', () => {
  test('G5: allows in any period at most a burst and six lines a minute', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 30_000 }), { maxLength: 300 }), (gaps) => {
        let nowMs = 0;
        let quota = fullQuota(nowMs);
        const writtenAtMs: number[] = [];
        for (const gap of gaps) {
          nowMs += gap;
          const step = spend(quota, nowMs);
          quota = step.quota;
          if (step.written) writtenAtMs.push(nowMs);
        }
        for (let from = 0; from < writtenAtMs.length; from++)
          for (let to = from; to < writtenAtMs.length; to++) {
            const spanMs = writtenAtMs[to]! - writtenAtMs[from]!;
            expect(to - from + 1).toBeLessThanOrEqual(LINES_AT_ONCE + Math.floor(spanMs / MS_PER_LINE) + 1);
          }
      }),
    );
  });

  test('G5: allows six lines a minute in the long run', () => {
    let quota = fullQuota(0);
    let written = 0;
    const minutes = 60;
    for (let nowMs = 0; nowMs < minutes * 60_000; nowMs += 10) {
      const step = spend(quota, nowMs);
      quota = step.quota;
      if (step.written) written++;
    }
    expect(written).toBeLessThanOrEqual(LINES_AT_ONCE + 6 * minutes);
    expect(written).toBeGreaterThanOrEqual(6 * minutes);
  });

  test('counts every omitted line', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 5_000 }), { maxLength: 300 }), (gaps) => {
        let nowMs = 0;
        let quota = fullQuota(nowMs);
        let accounted = 0;
        for (const gap of gaps) {
          nowMs += gap;
          const { suppressed } = quota;
          const step = spend(quota, nowMs);
          quota = step.quota;
          if (step.written) accounted += 1 + suppressed;
        }
        expect(accounted + quota.suppressed).toBe(gaps.length);
      }),
    );
  });

  test('allows no further line if the clock stands still or goes back', () => {
    let quota = fullQuota(1_000);
    for (let i = 0; i < LINES_AT_ONCE; i++) quota = spend(quota, 1_000).quota;
    expect(spend(quota, 0).written).toBe(false);
    expect(spend(quota, 1_000).written).toBe(false);
  });
});
