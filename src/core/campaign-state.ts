/**
 * One replica's campaign in one election, as a value.
 *
 *   settling ──settled──► held ──released──► entering ──entered──► waiting ──elected──► leading
 *      ▲                   ▲                    │                     │                    │
 *      │                   └───────failed───────┘                     └──lost──► leaving ◄─┘ lost
 *      └────────────────────────────────left──────────────────────────────────────┘
 *
 *   any ──stopped──► leaving ──left──► ended
 *
 * `settling` waits for callbacks that still run: no second work begins beside the first.
 * `held` passes the loop guard, so there is no way round the guard: every arrow
 * back leads through it. Pure: no clock, no timer, no socket. `Campaign` does
 * each state's one job and feeds its outcome back in.
 */
import assert from 'node:assert/strict';

/** Our key in etcd. */
export interface Candidacy {
  readonly key: string;
  /** Lease the key hangs on, in decimal. */
  readonly leaseId: string;
  /** The key's creation revision: the fencing token once we lead. */
  readonly createRevision: bigint;
}

/** Why a term, or the wait for one, came to its end while we still want to lead. */
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

/** Why a campaign is over. */
export type StopCause = 'resigned' | 'closed' | 'aborted' | 'refused';

export type EndCause = LossCause | StopCause;

/** Whether a round ended by the world's doing (etcd, network, operator) or by our own (the caller's work). */
export type Origin = 'environment' | 'caller';

export type CampaignState =
  | {
      readonly name: 'settling';
      readonly origin: Origin;
      /** Whether a term has ended before: then `onFollower` is waited for too. */
      readonly isAfterTerm: boolean;
    }
  | { readonly name: 'held'; readonly origin: Origin }
  | { readonly name: 'entering' }
  | { readonly name: 'waiting'; readonly candidacy: Candidacy }
  | { readonly name: 'leading'; readonly candidacy: Candidacy }
  | {
      readonly name: 'leaving';
      /** Unknown where we are stopped before an answer told us whether we had entered. */
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
 * @throws {AssertionError} if the outcome cannot follow from the state: a bug of
 *   ours, never something that etcd, the network or the caller can cause.
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

/** Work that fails or quits is our own doing, and is held back longer; the rest is the world's. */
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
