/** What a run of the lab came to: the findings of the checker, and figures. */
import { gaps, tooLong, unsafe, type Gap } from './checker.ts';
import type { Evidence, FaultRecord, Finding, Stretch } from './evidence.ts';
import type { ProcessHistory } from './history.ts';

/** The result of a run. */
export interface Outcome {
  readonly findings: readonly Finding[];
  readonly gaps: readonly Gap[];
  readonly terms: number;
  readonly stamps: number;
  readonly appends: { readonly acknowledged: number; readonly refused: number; readonly unknown: number };
  readonly refusedByResource: number;
  readonly errors: ReadonlyMap<string, number>;
  readonly endings: ReadonlyMap<string, number>;
  readonly faults: readonly FaultRecord[];
  readonly evidence: Evidence;
}

/** What the histories of all candidates and the evidence say about a run. */
export function outcomeOf(
  histories: readonly ProcessHistory[],
  found: Omit<Evidence, 'acting' | 'appends'>,
  { noiseIn, refusedByResource }: { noiseIn: (stretch: Stretch) => number; refusedByResource: number },
): Outcome {
  const appends = histories.flatMap((history) => history.appends);
  const acting = histories.flatMap((history) => history.acting);
  const errors = new Map<string, number>();
  for (const history of histories)
    for (const [code, times] of history.errors) errors.set(code, (errors.get(code) ?? 0) + times);
  const endings = new Map<string, number>();
  for (const { endedBecause = 'killed' } of acting)
    endings.set(endedBecause, (endings.get(endedBecause) ?? 0) + 1);
  const evidence: Evidence = { acting, appends, ...found };
  const allGaps = gaps(evidence, noiseIn);
  const tally = (outcome: string): number => appends.filter((append) => append.outcome === outcome).length;
  return {
    findings: [...unsafe(evidence), ...tooLong(allGaps)],
    gaps: allGaps,
    terms: acting.length,
    stamps: acting.reduce((sum, { stamps }) => sum + stamps, 0),
    appends: {
      acknowledged: tally('acknowledged'),
      refused: tally('refused'),
      unknown: tally('unknown'),
    },
    refusedByResource,
    errors,
    endings,
    faults: evidence.faults,
    evidence,
  };
}
