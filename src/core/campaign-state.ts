/**
 * The state machine of a campaign: state and outcome in, next state out.
 *
 *   settling ──settled──► held ──released──► entering ──entered──► waiting ──elected──► leading
 *      ▲                   ▲                    │                     │                    │
 *      │                   └───────failed───────┘                     └──lost──► leaving ◄─┘ lost
 *      └────────────────────────────────left──────────────────────────────────────┘
 *
 *   any state except leaving and ended ──stopped──► leaving ──left──► ended
 *
 * `settling` waits for callbacks that still run, so that work never runs twice at once. In `held` the loop guard delays the
 * campaign. Every way back leads through `held`, so no loop avoids the guard. `Campaign` does the job of each state, and
 * passes its outcome to {@link next}.
 */
import assert from 'node:assert/strict';

/** Our key in etcd. */
export interface Candidacy {
  readonly key: string;
  /** ID of the lease to which the key is attached, in decimal. */
  readonly leaseId: string;
  /** Creation revision of the key. It becomes the fencing token when we lead. */
  readonly createRevision: bigint;
}

/**
 * Why a term, or the wait for one, ended although the campaign continues:
 * - `deadline-passed`: no renewal was confirmed in time.
 * - `lease-lost`: the lease was revoked or has expired, the client was closed, or the cluster changed. Also: etcd refused to
 *   delete a key under the lease.
 * - `evicted`: our key was deleted or replaced, for example by an operator.
 * - `stepped-down`: `stepDown()` was called.
 * - `work-failed`: the work threw or rejected.
 * - `no-progress`: the work did not call `heartbeat()` in time.
 * - `follower-stuck`: `onFollower` did not settle in time, so the work could not begin.
 * - `work-ended`: the work ended, with `whenWorkEnds: 'step-down'`.
 * - `refused`: etcd refuses us although we have been in the queue before.
 */
export type LossCause =
  | 'deadline-passed'
  | 'lease-lost'
  | 'evicted'
  | 'stepped-down'
  | 'work-failed'
  | 'no-progress'
  | 'follower-stuck'
  | 'work-ended'
  | 'refused';

/**
 * Why a campaign is over:
 * - `resigned`: `resign()` was called, or `lead()` has finished.
 * - `closed`: `close()` was called.
 * - `aborted`: the `signal` option aborted.
 * - `refused`: etcd refused before the campaign was ever in the queue, or the client was closed.
 */
export type StopCause = 'resigned' | 'closed' | 'aborted' | 'refused';

/** Why a term, or the wait for one, ended. */
export type EndCause = LossCause | StopCause;

/** What ended a round: the environment (etcd, the network, an operator) or the caller's own work. */
export type Origin = 'environment' | 'caller';

export type CampaignState =
  | {
      readonly name: 'settling';
      readonly origin: Origin;
      /** Whether a term has just ended. Then `settling` also waits for the work and the `onFollower` of that term. */
      readonly isAfterTerm: boolean;
    }
  | { readonly name: 'held'; readonly origin: Origin }
  | { readonly name: 'entering' }
  | { readonly name: 'waiting'; readonly candidacy: Candidacy }
  | { readonly name: 'leading'; readonly candidacy: Candidacy }
  | {
      readonly name: 'leaving';
      /** Undefined if the campaign was stopped before etcd answered whether we had entered. */
      readonly candidacy: Candidacy | undefined;
      readonly reason: EndCause;
      readonly afterwards: 'stand-again' | 'end';
      readonly isAfterTerm: boolean;
    }
  | { readonly name: 'ended'; readonly reason: StopCause };

export type Outcome =
  | { readonly type: 'settled' }
  | { readonly type: 'released' }
  | { readonly type: 'entered'; readonly candidacy: Candidacy }
  | { readonly type: 'failed' }
  | { readonly type: 'elected' }
  | { readonly type: 'lost'; readonly reason: LossCause }
  | { readonly type: 'stopped'; readonly reason: StopCause }
  | { readonly type: 'left' };

export const begin = (): CampaignState => ({ name: 'settling', origin: 'caller', isAfterTerm: false });

/**
 * Returns the state that follows.
 *
 * @throws {AssertionError} if the outcome cannot follow from the state. Only a bug of this library can cause that.
 */
export function next(campaign: CampaignState, outcome: Outcome): CampaignState {
  switch (outcome.type) {
    case 'settled':
      if (campaign.name === 'settling') return { name: 'held', origin: campaign.origin };
      break;
    case 'released':
      if (campaign.name === 'held') return { name: 'entering' };
      break;
    case 'entered':
      if (campaign.name === 'entering') return { name: 'waiting', candidacy: outcome.candidacy };
      break;
    case 'failed':
      if (campaign.name === 'entering') return { name: 'held', origin: 'environment' };
      break;
    case 'elected':
      if (campaign.name === 'waiting') return { name: 'leading', candidacy: campaign.candidacy };
      break;
    case 'lost':
      if (campaign.name === 'waiting' || campaign.name === 'leading')
        return {
          name: 'leaving',
          candidacy: campaign.candidacy,
          reason: outcome.reason,
          afterwards: 'stand-again',
          isAfterTerm: campaign.name === 'leading',
        };
      break;
    case 'stopped':
      if (campaign.name === 'leaving' || campaign.name === 'ended') break;
      return {
        name: 'leaving',
        candidacy: 'candidacy' in campaign ? campaign.candidacy : undefined,
        reason: outcome.reason,
        afterwards: 'end',
        isAfterTerm: campaign.name === 'leading',
      };
    case 'left':
      if (campaign.name !== 'leaving') break;
      return campaign.afterwards === 'end'
        ? { name: 'ended', reason: campaign.reason as StopCause }
        : { name: 'settling', origin: originOf(campaign.reason), isAfterTerm: campaign.isAfterTerm };
  }
  return assert.fail(`${outcome.type} cannot follow ${campaign.name}`);
}

/** Who ended the round: the caller or the environment. After a round that the caller ended, the loop guard delays longer. */
export function originOf(reason: EndCause): Origin {
  switch (reason) {
    case 'deadline-passed':
    case 'lease-lost':
    case 'evicted':
    case 'refused':
      return 'environment';
    case 'stepped-down':
    case 'work-failed':
    case 'no-progress':
    case 'follower-stuck':
    case 'work-ended':
    case 'resigned':
    case 'closed':
    case 'aborted':
      return 'caller';
  }
}
