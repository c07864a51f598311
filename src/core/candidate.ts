/**
 * A candidate as an `Election` shows it to its user.
 */
import { CandidateRecord, type QueuedCandidate } from './candidate-queue.ts';

/** A candidate in the queue. In JSON, its token is a string. */
export interface Candidate extends QueuedCandidate {
  /**
   * Whether this is the candidate of the `Election` that returned it. Before you act as leader, ask
   * `election.isCurrent()` instead.
   */
  readonly isMe: boolean;
}

/** The leader of an election according to etcd: the first candidate in the queue. */
export type Leader = Candidate;

class SeenCandidate extends CandidateRecord implements Candidate {
  readonly isMe: boolean;

  constructor(candidate: QueuedCandidate, isMe: boolean) {
    super(candidate);
    this.isMe = isMe;
  }
}

/** @param ownKey the key of the election's own candidate, if it has one. */
export const seen = (candidate: QueuedCandidate, ownKey: string | undefined): Candidate =>
  new SeenCandidate(candidate, candidate.key === ownKey);
