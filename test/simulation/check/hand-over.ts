/** L1: after a term that ends in order, the next candidate leads within one commit and one watch message. */
import type { Evidence } from '../../faults/lab/evidence.ts';
import type { Violation } from './verdict.ts';

const ORDERLY: ReadonlySet<string | undefined> = new Set([
  'stepped-down',
  'resigned',
  'closed',
  'work-failed',
]);
const OWN_DOING: ReadonlySet<string> = new Set(['step-down', 'resign', 'work-throws', 'run-away']);

/** A commit, a watch message, and work that stops, in milliseconds. */
const WITHIN_MS = 150;

/** Nothing went wrong for so long before, in TTLs: everybody stands in the queue, and follows it. */
const SOUND_FOR_TTLS = 4;

/** @param slowToStop processes whose work goes on for longer than the end of a term waits. */
export function slowHandOvers(
  { acting, faults, endMs, grantedTtlMs }: Evidence,
  slowToStop: ReadonlySet<string>,
): readonly Violation[] {
  return acting.flatMap((term) => {
    if (!ORDERLY.has(term.endedBecause) || slowToStop.has(term.process)) return [];
    const freeMs = Math.max(term.lastMs, term.workedUntilMs ?? 0);
    const fromMs = term.lastMs - SOUND_FOR_TTLS * grantedTtlMs;
    const toMs = freeMs + WITHIN_MS;
    const isDisturbed = faults.some(
      (fault) =>
        !OWN_DOING.has(fault.kind.replace(/ of a sound etcd$/, '')) &&
        fault.fromMs <= toMs &&
        fault.toMs >= fromMs,
    );
    // Two that go at once leave a gap that is nobody's fault.
    const isAlone = acting.every(
      (other) => other === term || other.lastMs < fromMs || other.firstMs >= freeMs,
    );
    if (isDisturbed || !isAlone || toMs > endMs) return [];
    if (acting.some((other) => other.firstMs >= term.lastMs && other.firstMs <= toMs)) return [];
    const what = `nobody led ${WITHIN_MS} ms after ${term.process} (token ${term.token}) had given up`;
    return [{ promise: 'L1', what }];
  });
}
