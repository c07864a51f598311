/**
 * Judges the events of a world by the promises. The checker of the fault lab judges S1 to S5, L2 and L5. The
 * rest is visible only in a simulation.
 */
import { gaps, tooLong, unsafe } from '../../faults/lab/checker.ts';
import type { Evidence, Standing } from '../../faults/lab/evidence.ts';
import type { World } from '../world/world.ts';
import { boundsExceeded } from './bounds.ts';
import { leaderlessInPeace } from './calm.ts';
import { crowdBroke } from './crowd.ts';
import { ORDERLY, slowHandOvers } from './hand-over.ts';
import { leftOpen } from './leaks.ts';
import { nobodyStands, stands as standsOf } from './stands.ts';
import { queueMisjudged } from './queue.ts';
import type { Violation } from './violation.ts';
import { workBesideWork } from './work.ts';

/**
 * Clocks with other rates, TCP retransmissions, and work that stops slowly: L2 and L5 do not count them, in
 * milliseconds.
 */
const NOISE_MS = 3_500;

export function verdict(world: World, stands: Standing, endMs: number): readonly Violation[] {
  const candidates = standsOf(world);
  const evidence: Evidence = {
    ...stands,
    acting: world.record.acting,
    appends: world.record.appends,
    cuts: world.cuts,
    kills: world.kills,
    faults: world.faults,
    nobodyStands: nobodyStands(candidates, world.faults),
    endMs,
    grantedTtlMs: world.ttlMs,
    hasTokens: true,
  };
  return [
    ...unsafe(evidence),
    ...tooLong(gaps(evidence, ({ fromMs }) => NOISE_MS + lateWorkMs(world, fromMs))),
    ...leaderlessInPeace(evidence, (lastMs) => lateWorkMs(world, lastMs)),
    ...slowHandOvers(evidence, world.slowToStop, candidates),
    ...workBesideWork(world),
    ...boundsExceeded(world),
    ...leftOpen(world),
    ...crowdBroke(world),
    ...queueMisjudged(world),
    ...whatBroke(world),
  ].map(({ promise, what }) => ({ promise, what }));
}

/** The key stays until the end of the work, or of the wait for it. */
function lateWorkMs({ record, slowToStop, ttlMs }: World, lastMs: number): number {
  const isLate = record.acting.some(
    (term) => term.lastMs === lastMs && ORDERLY.has(term.endedBecause) && slowToStop.has(term.process),
  );
  return isLate ? ttlMs : 0;
}

/** Errors that end a run early. */
export const whatBroke = (world: World): readonly Violation[] => [
  ...world.crashes.map((what) => ({ promise: 'crash', what })),
  ...world.vitals.busy.map((what) => ({ promise: 'G5', what })),
];
