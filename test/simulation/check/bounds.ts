/** G5: whatever goes wrong, each process keeps to its bounds of log lines, callbacks and messages. */
import type { World } from '../world/world.ts';
import type { Violation } from './verdict.ts';

/** Of one election, as docs/guard.md has it: 12 at once, and six a minute. */
const LINES_AT_ONCE = 12;
const LINES_A_MINUTE = 6;
/** Clocks of processes run faster than true time by up to this. */
const CLOCK_SKEW = 1.05;

export function boundsExceeded({ vitals, time }: World): readonly Violation[] {
  const lines = vitals.lives.flatMap(({ process, fromMs, toMs, lines: written }): Violation[] => {
    const minutes = (Math.min(toMs, time.now()) - fromMs) / 60_000;
    // The election's own lines, and those of what its client's elections share.
    const allowed = 2 * (LINES_AT_ONCE + LINES_A_MINUTE * CLOCK_SKEW * minutes);
    if (written <= allowed) return [];
    return [{ promise: 'G5', what: `${process} wrote ${written} lines, allowed are ${allowed.toFixed(0)}` }];
  });
  return [...lines, ...vitals.busy.map((what) => ({ promise: 'G5', what }))];
}
