/** L1: after an orderly end of a term, the next candidate leads within one commit and one watch message. */
import type { Evidence, Stretch } from '../../faults/lab/evidence.ts';
import type { Violation } from './violation.ts';

/** Reasons with which a leader deletes its key by itself. */
export const ORDERLY: ReadonlySet<string | undefined> = new Set([
  'stepped-down',
  'resigned',
  'closed',
  'work-failed',
]);
const OWN_DOING: ReadonlySet<string> = new Set(['step-down', 'resign', 'work-throws', 'run-away']);

/** A commit, a watch message, and the end of the work, in milliseconds. */
const WITHIN_MS = 150;

/** No fault happened for this long before, in TTLs: all candidates are in the queue and follow it. */
const SOUND_FOR_TTLS = 4;

/** A candidate that has stood for this long has entered, in milliseconds. */
const ENTERED_WITHIN_MS = 1_000;

/**
 * @param slowToStop processes whose work continues longer than the end of a term waits for it.
 * @param stands when each process could lead.
 */
export function slowHandOvers(
  { acting, faults, endMs, grantedTtlMs }: Evidence,
  slowToStop: ReadonlySet<string>,
  stands: ReadonlyMap<string, readonly Stretch[]>,
): readonly Violation[] {
  return acting.flatMap((term) => {
    const { workedUntilMs } = term;
    // Without an end of its work, the process was killed before it gave up.
    if (!ORDERLY.has(term.endedBecause) || slowToStop.has(term.process) || workedUntilMs === undefined)
      return [];
    const freeMs = Math.max(term.lastMs, workedUntilMs);
    const fromMs = term.lastMs - SOUND_FOR_TTLS * grantedTtlMs;
    const toMs = freeMs + WITHIN_MS;
    const isDisturbed = faults.some(
      (fault) =>
        !OWN_DOING.has(fault.kind.replace(/ of a sound etcd$/, '')) &&
        fault.fromMs <= toMs &&
        fault.toMs >= fromMs,
    );
    // Two candidates that leave at once cause a gap that is not an error.
    const isAlone = acting.every(
      (other) => other === term || other.lastMs < fromMs || other.firstMs >= freeMs,
    );
    const hasNext = [...stands].some(
      ([process, stretches]) =>
        process !== term.process &&
        stretches.some(
          (stretch) => stretch.fromMs <= term.lastMs - ENTERED_WITHIN_MS && stretch.toMs >= toMs,
        ),
    );
    if (isDisturbed || !isAlone || !hasNext || toMs > endMs) return [];
    if (acting.some((other) => other.firstMs >= term.lastMs && other.firstMs <= toMs)) return [];
    const what = `nobody led ${WITHIN_MS} ms after ${term.process} (token ${term.token}) had given up`;
    return [{ promise: 'L1', what }];
  });
}
