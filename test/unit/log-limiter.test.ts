import { describe, expect, test } from 'vitest';
import { fullQuota, LINES_AT_ONCE, MS_PER_LINE, spend } from '../../src/core/log-quota.ts';
import { LogLimiter, type LogShare } from '../../src/logging/log-limiter.ts';

const sharesAt = (nowMs: () => number): LogLimiter => new LogLimiter(() => ({ now: fullQuota(nowMs()) }));

/** @returns how many of so many lines were written. */
function write(share: LogShare, lines: number, nowMs: number): number {
  let count = 0;
  for (let line = 0; line < lines; line++) {
    const { budget, written } = spend(share.now, nowMs);
    share.now = budget;
    if (written) count++;
  }
  return count;
}

describe('elections that come one after another', () => {
  test('G5: a job under a name of its own each two seconds: twelve lines, then six a minute, of all together', () => {
    let nowMs = 0;
    let last: LogShare | undefined;
    const shares = sharesAt(() => nowMs);
    const writtenAtMs: number[] = [];
    let told = 0;
    for (let turn = 0; nowMs < 10 * 60_000; turn++, nowMs += 2_000) {
      const { share, end } = shares.begin(`x${turn}`);
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
    expect(told + last!.now.suppressed).toBe(4 * 300); // what is left out is counted
  });

  test('one job in five minutes, as an honest worker has it, is told in full', () => {
    let nowMs = 0;
    const shares = sharesAt(() => nowMs);
    for (let turn = 0; turn < 20; turn++, nowMs += 5 * 60_000) {
      const { share, end } = shares.begin(`x${turn}`);
      expect(write(share, 4, nowMs)).toBe(4);
      end();
    }
  });

  test('G5: of many shares that were left behind, a loop uses up one', () => {
    const shares = sharesAt(() => 0);
    const ends = Array.from({ length: 1_000 }, (_, i) => shares.begin(`e${i}`).end);
    for (const end of ends) end();
    let written = 0;
    for (let turn = 0; turn < 1_000; turn++) {
      const { share, end } = shares.begin(`x${turn}`);
      written += write(share, 4, 0);
      end();
    }
    expect(written).toBe(LINES_AT_ONCE);
  });
});

describe('elections that stand side by side', () => {
  test('each has its twelve lines', () => {
    const shares = sharesAt(() => 0);
    const written = Array.from({ length: 100 }, (_, i) => write(shares.begin(`e${i}`).share, 20, 0));
    expect(new Set(written)).toEqual(new Set([LINES_AT_ONCE]));
  });

  test('campaigns of one election share theirs, which is left behind by the last of them', () => {
    const shares = sharesAt(() => 0);
    const [one, two] = [shares.begin('e'), shares.begin('e')];
    expect(two.share).toBe(one.share);
    one.end();
    expect(shares.begin('other').share).not.toBe(one.share);
    two.end();
    expect(shares.begin('third').share).toBe(one.share);
  });
});
