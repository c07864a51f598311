/**
 * Whether a supervisor should worry about this replica. Pure: facts in, verdict out.
 */

export interface ElectionHealth {
  /**
   * For a liveness probe: false only where a restart helps, that is, if we believe to lead and have not renewed in
   * time, or the work has not reported progress in time, or it still runs though its term is over and its time to
   * stop (`drainTimeoutMs`) has passed; and where etcd refuses us (a password, a permission), because a restart may
   * bring other credentials, and somebody must act. A follower is healthy, and so is a replica that cannot reach etcd: a
   * restart would not help it.
   */
  readonly healthy: boolean;
  /** Whether we may act as leader at this moment: for a readiness probe of a service that only its leader serves. */
  readonly leading: boolean;
  /** Whether we stand at all: false before `campaign()`, and after `resign()`, `close()` or a refusal of etcd. */
  readonly standing: boolean;
  /** What is wrong, for people; undefined where healthy. */
  readonly reason: string | undefined;
}

export interface HealthFacts {
  readonly standing: boolean;
  /** The term that we believe to be in; undefined where we lead nothing. */
  readonly term: { readonly remainingMs: number; readonly quietMs: number } | undefined;
  readonly progressTimeoutMs: number | undefined;
  /** For how long the work has gone on after its term ended, in milliseconds; 0 where none does. */
  readonly workOverdueMs: number;
  readonly drainTimeoutMs: number;
  /** What etcd refuses to us, or ended the campaign by refusing; undefined where it permits. */
  readonly refusal: string | undefined;
}

export function healthOf(facts: HealthFacts): ElectionHealth {
  const { standing, term } = facts;
  const reason = problemOf(facts);
  return {
    healthy: reason === undefined,
    leading: term !== undefined && term.remainingMs > 0,
    standing,
    reason,
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
  if (refusal !== undefined) return `etcd refuses us: ${refusal}`;
  return undefined;
}
