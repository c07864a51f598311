/**
 * How many log lines may be written, as a value: in the incident most of the CPU went into writing lines.
 */

export interface LineBudget {
  /** Lines that may still be written at once. */
  readonly left: number;
  readonly countedAtMs: number;
  /** Lines left out since the last one written. */
  readonly suppressed: number;
}

/** A burst that shows a whole story of elections and losses, then six lines a minute. */
export const LINES_AT_ONCE = 12;
export const MS_PER_LINE = 10_000;

export const fullBudget = (nowMs: number): LineBudget => ({
  left: LINES_AT_ONCE,
  countedAtMs: nowMs,
  suppressed: 0,
});

/** Spends one line if there is one; otherwise counts it as suppressed. */
export function spend(budget: LineBudget, nowMs: number): { budget: LineBudget; written: boolean } {
  const earned = Math.floor(Math.max(0, nowMs - budget.countedAtMs) / MS_PER_LINE);
  const left = Math.min(LINES_AT_ONCE, budget.left + earned);
  const countedAtMs = left === LINES_AT_ONCE ? nowMs : budget.countedAtMs + earned * MS_PER_LINE;
  return left > 0
    ? { budget: { left: left - 1, countedAtMs, suppressed: 0 }, written: true }
    : { budget: { left, countedAtMs, suppressed: budget.suppressed + 1 }, written: false };
}

/**
 * Writes one line whatever the budget, and leaves nothing of the burst: what led to it has been told, and from here
 * on it is six lines a minute.
 */
export const lastOfTheBurst = (nowMs: number): LineBudget => ({ left: 0, countedAtMs: nowMs, suppressed: 0 });
