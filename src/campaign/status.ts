/**
 * What an election knows without asking etcd.
 */
import type { Candidate } from '../core/candidate.ts';
import type { Campaign } from './campaign.ts';
import type { CampaignState } from '../core/campaign-state.ts';
import type { GuardStatus } from '../loop-guard/loop-guard.ts';
import type { Term } from '../term/term.ts';

/** In JSON tokens are strings. */
export interface ElectionStatus {
  readonly election: string;
  /**
   * - `idle`: not standing.
   * - `held`: held back by the loop guard.
   * - `entering`: on the way into the queue; stays here while etcd is away.
   * - `waiting`: in the queue.
   * - `leading`: the leader. By the clock, as `isCurrent()` is.
   * - `leaving`: the term is over; its callbacks are awaited, or the key is being given up.
   * - `closed`: for good.
   */
  readonly state: 'idle' | 'closed' | Exclude<CampaignState['name'], 'ended' | 'settling'>;
  /** The present term; undefined as soon as it is not current any more. */
  readonly term: Term | undefined;
  /**
   * As far as we know without asking; undefined if nobody leads, or if etcd has confirmed nothing for one TTL. With more than
   * eight candidates before us a new leader is shown up to 10 s later, and undefined until then; with many hundreds later still.
   */
  readonly leader: Candidate | undefined;
  /** Our place in the queue: 1 leads. With more than eight candidates before us it may be an estimate. */
  readonly position: number | undefined;
  /** Whether `position` is an estimate. Then we are at that place or nearer to the front, and at least two are before us. */
  readonly isPositionEstimate: boolean;
  readonly guard: GuardStatus;
  /** The prefix of the keys in etcd. Elections of one name under two prefixes have a leader each. */
  readonly prefix: string;
  /**
   * ID of the etcd cluster, in decimal. Undefined until etcd has answered, and if its answers carry none. Two clusters
   * have a leader each.
   */
  readonly clusterId: string | undefined;
}

/** The present term of a campaign, by the clock: a blocked event loop runs timers late. */
export function currentTermOf(campaign: Campaign | undefined): Term | undefined {
  if (campaign !== undefined) campaign.turn.isLookedAt = true;
  const term = campaign?.state === 'leading' ? campaign.turn.term : undefined;
  return term?.isOver === false && term.leftMs > 0 ? term : undefined;
}

export function statusOf(
  election: string,
  campaign: Campaign | undefined,
  isClosed: boolean,
  guard: GuardStatus,
): Omit<ElectionStatus, 'prefix' | 'clusterId'> {
  const term = currentTermOf(campaign);
  const state = campaign?.state ?? 'ended';
  const place = campaign?.place;
  const shown = state === 'leading' && term === undefined ? 'leaving' : state;
  return {
    election,
    state: shown === 'ended' ? (isClosed ? 'closed' : 'idle') : shown,
    term,
    leader: campaign?.leader,
    position: term === undefined && state === 'leading' ? undefined : place?.position,
    isPositionEstimate: place?.isEstimate === true,
    guard,
  };
}
