import { describe, expect, test } from 'vitest';
import {
  fullQuota,
  LINES_AT_ONCE,
  MS_PER_LINE,
  OF_ERRORS,
  OF_TERMS,
  spend,
} from '../../src/core/log-quota.ts';
import { LogLimiter, type LogShare } from '../../src/logging/log-limiter.ts';

const sharesAt = (nowMs: () => number): LogLimiter =>
  new LogLimiter(() => ({
    now: fullQuota(nowMs()),
    terms: { now: fullQuota(nowMs(), OF_TERMS) },
    errors: { now: fullQuota(nowMs(), OF_ERRORS) },
  }));

/** @returns how many of the lines were written. */
function write(share: LogShare, lines: number, nowMs: number): number {
  let count = 0;
  for (let line = 0; line < lines; line++) {
    const { quota, written } = spend(share.now, nowMs);
    share.now = quota;
    if (written) count++;
  }
  return count;
}

describe('successive elections', () => {
  test('G5: a job with a new name every two seconds: twelve lines, then six a minute in all', () => {
    let nowMs = 0;
    let last: LogShare | undefined;
    const shares = sharesAt(() => nowMs);
    const writtenAtMs: number[] = [];
    let told = 0;
    for (let turn = 0; nowMs < 10 * 60_000; turn++, nowMs += 2_000) {
      const { lane: share, end } = shares.begin(`x${turn}`);
      for (let line = 0; line < 4; line++) {
        const { suppressed } = share.now;
        if (write(share, 1, nowMs) === 1) {
          writtenAtMs.push(nowMs);
          told += 1 + suppressed;
        }
      }
      end();
      last = share;
    }
    expect(writtenAtMs.length).toBeLessThanOrEqual(LINES_AT_ONCE + (10 * 60_000) / MS_PER_LINE);
    expect(writtenAtMs.filter((atMs) => atMs > 9 * 60_000).length).toBeGreaterThanOrEqual(5);
    expect(told + last!.now.suppressed).toBe(4 * 300); // omitted lines are counted
  });

  test('one job in five minutes is logged in full', () => {
    let nowMs = 0;
    const shares = sharesAt(() => nowMs);
    for (let turn = 0; turn < 20; turn++, nowMs += 5 * 60_000) {
      const { lane: share, end } = shares.begin(`x${turn}`);
      expect(write(share, 4, nowMs)).toBe(4);
      end();
    }
  });

  test('G5: a loop uses up only one of many abandoned shares', () => {
    const shares = sharesAt(() => 0);
    const ends = Array.from({ length: 1_000 }, (_, i) => shares.begin(`e${i}`).end);
    for (const end of ends) end();
    let written = 0;
    for (let turn = 0; turn < 1_000; turn++) {
      const { lane: share, end } = shares.begin(`x${turn}`);
      written += write(share, 4, 0);
      end();
    }
    expect(written).toBe(LINES_AT_ONCE);
  });
});

describe('concurrent elections', () => {
  test('have twelve lines each', () => {
    const shares = sharesAt(() => 0);
    const written = Array.from({ length: 100 }, (_, i) => write(shares.begin(`e${i}`).lane, 20, 0));
    expect(new Set(written)).toEqual(new Set([LINES_AT_ONCE]));
  });

  test('of one name share their lines until the last one ends', () => {
    const shares = sharesAt(() => 0);
    const [one, two] = [shares.begin('e'), shares.begin('e')];
    expect(two.lane).toBe(one.lane);
    one.end();
    expect(shares.begin('other').lane).not.toBe(one.lane);
    two.end();
    expect(shares.begin('third').lane).toBe(one.lane);
  });
});
