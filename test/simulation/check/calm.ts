/**
 * L2 to L5 without faults: after the end of all faults a candidate leads within the bounds, and keeps leading.
 * The fault lab's checker allows for each fault in a gap, so the next fault hides a stuck candidate from it.
 */
import type { Evidence } from '../../faults/lab/evidence.ts';
import type { Violation } from './violation.ts';

/** L2, and the additions of the clocks, TCP and slow work, in milliseconds. */
const EXPIRY_SWEEP_MS = 750;
const NOISE_MS = 3_500;
/** The duration of an etcd election. */
const ETCD_MS = 5_000;
const AFTER_OUTAGE_MS = 3_000;

/** @param lateWorkMs how long the work of a term that ended at this time may keep the next candidate waiting. */
export function leaderlessInPeace(
  { acting, faults, grantedTtlMs, endMs }: Evidence,
  lateWorkMs: (lastMs: number) => number,
): readonly Violation[] {
  const found: Violation[] = [];
  let busyUntilMs = 0;
  const bounds = [...faults.map(({ fromMs }) => fromMs), endMs].sort((a, b) => a - b);
  const inOrder = [...faults].sort((a, b) => a.fromMs - b.fromMs);
  bounds.forEach((nextMs, index) => {
    const before = inOrder.slice(0, index);
    busyUntilMs = Math.max(busyUntilMs, before.at(-1)?.toMs ?? 0);
    const isEtcd = before.slice(-8).some(({ touchesEtcd }) => touchesEtcd);
    const limitMs =
      (isEtcd ? 2 : 1) * grantedTtlMs * 1.1 +
      EXPIRY_SWEEP_MS +
      NOISE_MS +
      AFTER_OUTAGE_MS +
      (isEtcd ? ETCD_MS : 0);
    const dueMs = busyUntilMs + limitMs;
    if (index === 0 || dueMs >= nextMs) return;
    const isLed = acting.some(
      ({ firstMs, lastMs }) => firstMs <= dueMs && lastMs + lateWorkMs(lastMs) >= dueMs - grantedTtlMs,
    );
    if (!isLed)
      found.push({
        promise: 'L5',
        what: `nobody leads at ${dueMs.toFixed(0)} ms, ${limitMs.toFixed(0)} ms after the last fault`,
      });
  });
  return found;
}
