/**
 * How many log lines may be written, as a value: in the incident most of the CPU went into writing lines.
 */

export interface LogQuota {
  /** Lines that may still be written at once. */
  readonly left: number;
  readonly countedAtMs: number;
  /** Lines left out since the last one written. */
  readonly suppressed: number;
}

export interface LogRate {
  readonly atOnce: number;
  readonly msPerLine: number;
}

/** A burst that shows a whole story of elections and losses, then six lines a minute. */
export const LINES_AT_ONCE = 12;
export const MS_PER_LINE = 10_000;
const PER_ELECTION: LogRate = { atOnce: LINES_AT_ONCE, msPerLine: MS_PER_LINE };

/** All elections of a process together: a thousand of them that lose etcd at once tell the same story. */
export const OF_ALL: LogRate = { atOnce: 1_000, msPerLine: 1_000 };

export const fullQuota = (nowMs: number, { atOnce }: LogRate = PER_ELECTION): LogQuota => ({
  left: atOnce,
  countedAtMs: nowMs,
  suppressed: 0,
});

/** Spends one line if there is one; otherwise counts it as suppressed. */
export function spend(
  budget: LogQuota,
  nowMs: number,
  { atOnce, msPerLine }: LogRate = PER_ELECTION,
): { budget: LogQuota; written: boolean } {
  const earned = Math.floor(Math.max(0, nowMs - budget.countedAtMs) / msPerLine);
  const left = Math.min(atOnce, budget.left + earned);
  const countedAtMs = left === atOnce ? nowMs : budget.countedAtMs + earned * msPerLine;
  return left > 0
    ? { budget: { left: left - 1, countedAtMs, suppressed: 0 }, written: true }
    : { budget: { left, countedAtMs, suppressed: budget.suppressed + 1 }, written: false };
}

/**
 * Writes one line whatever the budget, and leaves nothing of the burst: what led to it has been told, and from here
 * on it is six lines a minute.
 */
export const lastOfTheBurst = (nowMs: number): LogQuota => ({ left: 0, countedAtMs: nowMs, suppressed: 0 });
