/**
 * Whether a supervisor should worry about this replica. Pure: facts in, verdict out.
 */

export interface ElectionHealth {
  /**
   * For a liveness probe: false only where a restart helps, that is, if we believe to lead and have not renewed in
   * time, or the work has not reported progress in time, or it still runs though its term is over and its time to
   * stop (`drainTimeoutMs`) has passed, or `onFollower` does not settle; and if etcd refuses us (a password, a
   * permission), because a restart may bring other credentials, and an operator must act. A follower is healthy, and so is a
   * replica that cannot reach etcd: a restart would not help it.
   */
  readonly healthy: boolean;
  /** Whether we may act as leader at this moment: for a readiness probe of a service that only its leader serves. */
  readonly leading: boolean;
  /** Whether we stand at all: false before `campaign()`, and after `resign()`, `close()` or a refusal of etcd. */
  readonly standing: boolean;
  /**
   * Whether the term has work: `onLeader` has not settled, or `onFollower` stops what it has started, or something that
   * was registered with the term runs or is to be cleaned up at its end. False if we do not lead.
   */
  readonly working: boolean;
  /** What is wrong, for people; undefined if nothing is. A refused `campaign()` is said here, `not standing: …`. */
  readonly reason: string | undefined;
}

export interface HealthFacts {
  readonly standing: boolean;
  /** Why the last `campaign()` or `lead()` was refused by us; undefined if it was not. */
  readonly notStanding?: string | undefined;
  /** The term that we believe to be in; undefined where we lead nothing. */
  readonly term:
    { readonly remainingMs: number; readonly quietMs: number; readonly isWorking?: boolean } | undefined;
  readonly progressTimeoutMs: number | undefined;
  /** For how long the work has gone on after its term ended, in milliseconds; 0 where none does. */
  readonly workOverdueMs: number;
  /** For how long `onFollower` has not settled, in milliseconds; 0 if it is not under way. */
  readonly followingMs?: number;
  readonly drainTimeoutMs: number;
  /** What etcd refuses to us, or ended the campaign by refusing; undefined where it permits. */
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
  const { term, progressTimeoutMs, workOverdueMs, drainTimeoutMs, refusal } = facts;
  if (term !== undefined && term.remainingMs <= 0)
    return 'believes to lead, but the lease was not renewed in time';
  if (term !== undefined && progressTimeoutMs !== undefined && term.quietMs >= progressTimeoutMs)
    return `leads, but the work has not reported progress for ${Math.round(term.quietMs)} ms`;
  if (workOverdueMs > drainTimeoutMs)
    return `the work still runs ${Math.round(workOverdueMs)} ms after its term ended: it ignores term.signal`;
  const followingMs = facts.followingMs ?? 0;
  if (followingMs > followerLimitMs(drainTimeoutMs))
    return `onFollower has not settled for ${Math.round(followingMs)} ms: this replica cannot lead before it does`;
  if (refusal !== undefined)
    return facts.standing ? `etcd refuses us: ${refusal}` : `not standing: ${refusal}`;
  return undefined;
}

/** How long `onFollower` may take until that is an error, in milliseconds. */
export const followerLimitMs = (drainTimeoutMs: number): number => Math.max(drainTimeoutMs, 1_000);
