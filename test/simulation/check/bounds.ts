/** G5: after any fault each process stays within its bounds of log lines, callbacks, calls and rounds. */
import type { World } from '../world/world.ts';
import type { Violation } from './violation.ts';

/** For one election, as in docs/guard.md: 12 at once, and six a minute. */
const LINES_AT_ONCE = 12;
const LINES_A_MINUTE = 6;
/** Clocks of processes run faster than true time by up to this. */
const CLOCK_SKEW = 1.05;

/** Terms of one process that its own code spoils: the burst, and the rounds that the guard allows after it. */
const MOST_TERMS = 12;
const TERMS_WITHIN_MS = 10_000;

export function boundsExceeded(world: World): readonly Violation[] {
  return [...linesOver(world), ...termsOver(world)];
}

function linesOver({ vitals, time }: World): readonly Violation[] {
  return vitals.lives.flatMap(({ process, fromMs, toMs, lines }): Violation[] => {
    const minutes = (Math.min(toMs, time.now()) - fromMs) / 60_000;
    // The lines of the election, and those that the elections of its client share.
    const allowed = 2 * (LINES_AT_ONCE + LINES_A_MINUTE * CLOCK_SKEW * minutes);
    if (lines <= allowed) return [];
    return [{ promise: 'G5', what: `${process} wrote ${lines} lines, allowed are ${allowed.toFixed(0)}` }];
  });
}

function termsOver({ record }: World): readonly Violation[] {
  const found = new Map<string, Violation>();
  const elected = new Map<string, number[]>();
  for (const { process, atMs, fact } of record.told) {
    if (fact.type !== 'elected') continue;
    const recent = [...(elected.get(process) ?? []), atMs].filter((one) => one > atMs - TERMS_WITHIN_MS);
    elected.set(process, recent);
    if (recent.length > MOST_TERMS)
      found.set(process, { promise: 'G5', what: `${process} began ${recent.length} terms in 10 s` });
  }
  return [...found.values()];
}
