/**
 * The present figures of one election, for gauges.
 */
import type { UnmarkedElection } from '../election-registry.ts';

type Always = 'isLeader' | 'termRemaining' | 'guardTripped' | 'unhealthy';
/** Metrics shown only during a campaign, so that a replica without a campaign does not look like a failing one. */
type InCampaign = 'leaderKnown' | 'queuePosition';
export type ElectionFigures = Readonly<Record<Always, number> & Partial<Record<InCampaign, number>>>;

export const NO_FIGURES: ElectionFigures = { isLeader: 0, termRemaining: 0, guardTripped: 0, unhealthy: 0 };

export function figuresOf(election: UnmarkedElection): ElectionFigures {
  const { term, leader, position, guard, state } = election.status;
  const remainingMs = term?.remainingMs() ?? 0;
  return {
    isLeader: Number(remainingMs > 0),
    termRemaining: remainingMs / 1000,
    guardTripped: Number(guard.state !== 'open'),
    unhealthy: Number(!election.health().healthy),
    ...(state !== 'idle' &&
      state !== 'closed' && { leaderKnown: Number(leader !== undefined), queuePosition: position ?? 0 }),
  };
}

/** Combines two elections of one name: takes the largest values, but the smallest place in the queue above 0. */
export function merged(a: ElectionFigures, b: ElectionFigures): ElectionFigures {
  const figures = { ...a, ...b };
  for (const metric of Object.keys(figures) as (keyof ElectionFigures)[]) {
    const values = [a[metric], b[metric]].filter((value) => value !== undefined);
    const places = values.filter((value) => value > 0);
    figures[metric] =
      metric === 'queuePosition' && places.length > 0 ? Math.min(...places) : Math.max(...values);
  }
  return figures;
}
