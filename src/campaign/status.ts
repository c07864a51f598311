/**
 * The state of an election, from memory.
 */
import type { Candidate } from '../core/candidate.ts';
import type { Campaign } from './campaign.ts';
import type { GuardStatus } from '../loop-guard/loop-guard.ts';
import type { LiveTerm } from '../term/live-term.ts';
import type { Term } from '../term/term.ts';

/** The state of one replica in its election. In JSON, tokens are strings. */
export interface ElectionStatus {
  readonly election: string;
  /**
   * - `idle`: no campaign runs.
   * - `held`: the loop guard delays the next round.
   * - `entering`: we enter the queue, or try again because etcd cannot be reached.
   * - `waiting`: in the queue.
   * - `leading`: we lead. Like `isCurrent()`, this compares the deadline with the clock.
   * - `leaving`: a term, or a wait in the queue, is over. Callbacks are awaited, or the key is being deleted.
   * - `closed`: `close()` was called.
   */
  readonly state: 'idle' | 'held' | 'entering' | 'waiting' | 'leading' | 'leaving' | 'closed';
  /** The present term; undefined as soon as it is no longer current. */
  readonly term: Term | undefined;
  /**
   * The leader, from memory; undefined if there is none, or if etcd has confirmed nothing for one TTL. With more than eight
   * candidates before us, the library does not read the leader by itself. It reads the leader if the program asks for this
   * status, or has set `onLeaderChange`. So the leader is undefined at first, and for up to 10 s after a change. Behind many
   * hundreds of candidates it is undefined for longer.
   */
  readonly leader: Candidate | undefined;
  /** Our place in the queue: 1 leads. With more than eight candidates before us, it may be an estimate. */
  readonly position: number | undefined;
  /** Whether `position` is an upper bound, because some candidates before us may have left. */
  readonly isPositionEstimate: boolean;
  readonly guard: GuardStatus;
  /** The prefix of the keys in etcd. The same name under another prefix is another election. */
  readonly prefix: string;
  /**
   * ID of the etcd cluster, in decimal. Undefined before etcd has answered, or if its answers carry none. The same name in
   * another cluster is another election.
   */
  readonly clusterId: string | undefined;
}

/** Notes that the program has asked the election whether we lead. The warning `unused-term` depends on this. */
export function noteCheck(campaign: Campaign | undefined): void {
  if (campaign !== undefined) campaign.turn.electionChecks++;
}

/** The present term of a campaign. Compares the deadline with the clock, because timers may fire late. */
export function currentTermOf(campaign: Campaign | undefined): LiveTerm | undefined {
  const term = campaign?.state === 'leading' ? campaign.turn.term : undefined;
  return term !== undefined && term.leftMs > 0 ? term : undefined;
}

export function statusOf(
  election: string,
  campaign: Campaign | undefined,
  isClosed: boolean,
  guard: GuardStatus,
): Omit<ElectionStatus, 'prefix' | 'clusterId' | 'term'> & { readonly term: LiveTerm | undefined } {
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
