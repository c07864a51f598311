/**
 * Decides from the raft terms of two answers whether etcd's present leader knows a renewal. The section “Why a confirmed
 * renewal counts” of docs/design.md gives the reason.
 */

export type RenewalVerdict =
  /** A quorum was still in the raft term of the renewal when the read was answered. The renewal counts. */
  | 'confirmed'
  /**
   * The read has a newer raft term than the renewal. etcd's leader has changed since, or the member that renewed is slow
   * or stuck.
   */
  | 'renewed-too-early'
  /** The member that answered the read had not applied the newest raft term, so the read proves nothing. */
  | 'read-too-early';

/**
 * @param renewedIn raft term in the header of the renewal's answer.
 * @param readIn raft term in the header of a linearizable read that was sent after that answer.
 * @param newest the highest raft term known after that read was answered.
 */
export function verdictOf(renewedIn: bigint, readIn: bigint, newest: bigint): RenewalVerdict {
  if (readIn < newest || readIn < renewedIn) return 'read-too-early';
  return readIn === renewedIn ? 'confirmed' : 'renewed-too-early';
}
