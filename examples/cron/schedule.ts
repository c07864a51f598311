/** The schedule of all replicas, and the wait for its next moment. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Term } from 'etcd-election';

const everyMs = Number(process.env['EVERY_SECONDS'] ?? 60) * 1_000;

/** Returns the first multiple of `everyMs` after the given time. A cron library can compute the next moment instead. */
export const nextMoment = (afterMs: number): number => (Math.floor(afterMs / everyMs) + 1) * everyMs;

// #region wait
const HOUR_MS = 3_600_000;

/**
 * Waits until the given moment. Checks the clock every hour, because someone may set the clock. A single timer would not notice
 * that, and a timer of more than 24.8 days fires at once.
 *
 * @returns true once the moment has come; false if the term ended first.
 */
export async function untilMoment(
  moment: number,
  term: Pick<Term, 'isCurrent' | 'signal'>,
): Promise<boolean> {
  while (term.isCurrent()) {
    const leftMs = moment - Date.now();
    if (leftMs <= 0) return true;
    await sleep(Math.min(leftMs, HOUR_MS), undefined, { signal: term.signal }).catch(() => undefined);
  }
  return false;
}
// #endregion wait
