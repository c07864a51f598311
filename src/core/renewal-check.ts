/**
 * Whether etcd's present leader stands behind a renewal: what the raft terms of two answers say together.
 *
 * A member whose raft loop is stuck, or that was frozen, acknowledges renewals that its successor never hears of. A
 * linearizable read, sent after the renewal was answered, tells. docs/design.md has the argument, under S2.
 */

export type Verdict =
  /** A quorum was still in the term of the renewal when the read was answered: the renewal counts. */
  | 'confirmed'
  /** The member that renewed had not applied the newest term. It may be about to, or it may be stuck. */
  | 'renewed-too-early'
  /** The member that read had not applied the newest term: it caught up by a snapshot, and says nothing. */
  | 'read-too-early';

/**
 * @param renewedIn raft term in the header of the renewal's answer.
 * @param readIn raft term in the header of a linearizable read that was sent after that answer.
 * @param newest the highest raft term known until then.
 */
export function verdictOf(renewedIn: bigint, readIn: bigint, newest: bigint): Verdict {
  if (readIn < newest || readIn < renewedIn) return 'read-too-early';
  return readIn === renewedIn ? 'confirmed' : 'renewed-too-early';
}
