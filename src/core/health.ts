/**
 * Decides whether a replica is healthy.
 */
import { isCertificateRejected } from './plain-cause.ts';

/** The health of one replica, for liveness and readiness probes. */
export interface ElectionHealth {
  /**
   * For a liveness probe. False in these cases, in which a restart can help:
   * - we still act as leader, but the lease was not renewed in time;
   * - the work has not reported progress in time;
   * - the work still runs more than `drainTimeoutMs` after its term ended;
   * - `onFollower` does not settle;
   * - etcd refuses us (wrong password, missing permission). A restart may bring other credentials;
   * - for one TTL, etcd has rejected our client certificate, or we have not trusted etcd's. A restart reads the files again.
   *
   * A follower is healthy. So is a replica that cannot reach etcd: a restart would not help it.
   */
  readonly healthy: boolean;
  /**
   * Whether we may act as leader at this moment. For a readiness probe, use {@link standing} instead. With `leading`, the new
   * replica of a rolling update would never be ready, because the old one leads.
   */
  readonly leading: boolean;
  /** Whether a campaign runs: false before `campaign()`, and after `resign()`, `close()` or a refusal that ended it. */
  readonly standing: boolean;
  /**
   * Whether the term has work: `onLeader` or registered work runs, a clean-up is registered, or `onFollower` will stop what
   * `onLeader` started. False if we do not lead.
   */
  readonly working: boolean;
  /** What is wrong, as text; undefined if nothing is. After a refused `campaign()` it begins with `not standing:`. */
  readonly reason: string | undefined;
}

export interface HealthFacts {
  readonly standing: boolean;
  /** Why this library refused the last `campaign()` or `lead()`. */
  readonly notStanding?: string | undefined;
  readonly term:
    { readonly remainingMs: number; readonly quietMs: number; readonly isWorking?: boolean } | undefined;
  readonly progressTimeoutMs: number | undefined;
  /** How long the work has run after the end of its term; 0 if it has stopped. */
  readonly workAfterTermMs: number;
  /** How long `onFollower` has been running; 0 if it is not running. */
  readonly followingMs?: number;
  readonly drainTimeoutMs: number;
  /** The present refusal by etcd, the lasting rejection of a certificate, or the refusal that ended the campaign. */
  readonly refusal: string | undefined;
}

export function healthOf(facts: HealthFacts): ElectionHealth {
  const { standing, term } = facts;
  const problem = problemOf(facts);
  const { notStanding } = facts;
  return {
    healthy: problem === undefined,
    leading: term !== undefined && term.remainingMs > 0,
    standing,
    working: term?.isWorking === true,
    reason: problem ?? (standing || notStanding === undefined ? undefined : `not standing: ${notStanding}`),
  };
}

function problemOf(facts: HealthFacts): string | undefined {
  const { term, progressTimeoutMs, workAfterTermMs, drainTimeoutMs, refusal } = facts;
  if (term !== undefined && term.remainingMs <= 0)
    return 'still acting as leader, but the lease was not renewed in time';
  if (term !== undefined && progressTimeoutMs !== undefined && term.quietMs >= progressTimeoutMs)
    return `leads, but the work has not reported progress for ${Math.round(term.quietMs)} ms`;
  if (workAfterTermMs > drainTimeoutMs)
    return `the work still runs ${Math.round(workAfterTermMs)} ms after its term ended: it ignores term.signal`;
  const followingMs = facts.followingMs ?? 0;
  if (followingMs > followerLimitMs(drainTimeoutMs))
    return `onFollower has not settled for ${Math.round(followingMs)} ms: this replica cannot lead until it settles`;
  if (refusal === undefined) return undefined;
  if (!facts.standing) return `not standing: ${refusal}`;
  // The cause says who rejects whose certificate. It may be us who reject etcd's.
  return `${isCertificateRejected(refusal) ? 'cannot use etcd' : 'etcd refuses us'}: ${refusal}`;
}

/** How long `onFollower` may take before it counts as an error, in milliseconds. */
export const followerLimitMs = (drainTimeoutMs: number): number => Math.max(drainTimeoutMs, 1_000);
