/**
 * Limits how many log lines may be written. A runaway loop can spend most of its CPU time on writing lines.
 */

export interface LogQuota {
  readonly left: number;
  readonly countedAtMs: number;
  /** Lines suppressed since the last one written. */
  readonly suppressed: number;
}

export interface LogRate {
  readonly atOnce: number;
  readonly msPerLine: number;
}

/**
 * How many lines one election may write at once: enough for a sequence of elections and losses. After that, six lines a minute.
 */
export const LINES_AT_ONCE = 12;
export const MS_PER_LINE = 10_000;
const MOST_OWED = 6;
const PER_ELECTION: LogRate = { atOnce: LINES_AT_ONCE, msPerLine: MS_PER_LINE };

/** The limit for all elections of a process together. In an outage, all of them log the same lines. */
export const OF_ALL: LogRate = { atOnce: 1_000, msPerLine: 1_000 };

/**
 * A separate limit for lines about terms. The log must show every term, even if an outage writes many other lines. These
 * lines count for the election's own limit too, so that a loop that makes terms gets no more lines than other loops.
 */
export const OF_TERMS: LogRate = { atOnce: 6, msPerLine: 20_000 };

/** A separate limit for errors. Many are reported only once, and other lines must not suppress them. */
export const OF_ERRORS: LogRate = { atOnce: 4, msPerLine: 600_000 };

/** A separate limit for advice that is given once, so that other lines cannot suppress it. */
export const OF_ADVICE: LogRate = { atOnce: 4, msPerLine: 600_000 };

export const fullQuota = (nowMs: number, { atOnce }: LogRate = PER_ELECTION): LogQuota => ({
  left: atOnce,
  countedAtMs: nowMs,
  suppressed: 0,
});

/** Takes one line from the quota, or counts the line as suppressed. */
export function spend(
  quota: LogQuota,
  nowMs: number,
  { atOnce, msPerLine }: LogRate = PER_ELECTION,
): { quota: LogQuota; written: boolean } {
  const present = refilled(quota, nowMs, { atOnce, msPerLine });
  const { left, suppressed } = present;
  return left > 0
    ? { quota: { ...present, left: left - 1, suppressed: 0 }, written: true }
    : { quota: { ...present, suppressed: suppressed + 1 }, written: false };
}

/** Takes one line from the quota, even if none is left. Then the next line waits longer, by at most a minute. */
export function charge(quota: LogQuota, nowMs: number): LogQuota {
  const present = refilled(quota, nowMs, PER_ELECTION);
  return { ...present, left: Math.max(present.left - 1, -MOST_OWED) };
}

function refilled(quota: LogQuota, nowMs: number, { atOnce, msPerLine }: LogRate): LogQuota {
  const earned = Math.floor(Math.max(0, nowMs - quota.countedAtMs) / msPerLine);
  const left = Math.min(atOnce, quota.left + earned);
  const countedAtMs = left === atOnce ? nowMs : quota.countedAtMs + earned * msPerLine;
  return { left, countedAtMs, suppressed: quota.suppressed };
}

/**
 * The quota after the loop guard has tripped: no burst is left. Elections that a loop seems to create begin with this quota.
 */
export const lastOfTheBurst = (nowMs: number): LogQuota => ({ left: 0, countedAtMs: nowMs, suppressed: 0 });
