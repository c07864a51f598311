/** Finds a short list of faults that still breaks the same promise: delta debugging on the faults of a seed. */
import type { Fault } from '../faults/fault.ts';
import type { Code } from '../process/code.ts';
import { run, type Outcome, type Setup } from '../run/run.ts';

/** Each try is a whole run. */
const MOST_TRIES = 60;

/** @returns the outcome of the shortest list that was found. */
export function shrink(found: Outcome, code: Code): Outcome {
  const promise = found.violations[0]!.promise;
  let best = found;
  let tries = 0;
  const breaks = (setup: Setup): boolean => {
    tries++;
    const outcome = run(setup, code);
    if (!outcome.violations.some((violation) => violation.promise === promise)) return false;
    best = outcome;
    return true;
  };
  // Events after the violation cannot be its cause. The rest is removed in halves, then in quarters and so on.
  for (let parts = 2; tries < MOST_TRIES && best.setup.faults.length > 1;) {
    const { faults } = best.setup;
    const size = Math.ceil(faults.length / parts);
    const isShorter = Array.from({ length: parts }, (_, part) => part).some((part) => {
      const rest = faults.filter((_, index) => index < part * size || index >= (part + 1) * size);
      return (
        rest.length < faults.length &&
        tries < MOST_TRIES &&
        breaks({ ...best.setup, faults: rest, forMs: endOf(rest) })
      );
    });
    if (isShorter) parts = Math.max(2, parts - 1);
    else if (size === 1) break;
    else parts = Math.min(faults.length, parts * 2);
  }
  return best;
}

const endOf = (faults: readonly Fault[]): number =>
  Math.max(0, ...faults.map(({ atMs, forMs }) => atMs + forMs)) + 1_000;
