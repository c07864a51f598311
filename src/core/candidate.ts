/**
 * A candidate as one election of this process sees it.
 */
import { QueuedCandidate, type Candidate as Queued } from './candidate-queue.ts';

/** In JSON its token is a string. */
export interface Candidate extends Queued {
  /** Whether it is the candidate of the `Election` that shows it. To decide about an act, ask `election.isCurrent()`. */
  readonly isMe: boolean;
}

/** Who leads an election, as etcd tells it. */
export type Leader = Candidate;

class SeenCandidate extends QueuedCandidate implements Candidate {
  readonly isMe: boolean;

  constructor(candidate: Queued, isMe: boolean) {
    super(candidate);
    this.isMe = isMe;
  }
}

/** @param ownKey the key of the election's own candidate, if it has one. */
export const seen = (candidate: Queued, ownKey: string | undefined): Candidate =>
  new SeenCandidate(candidate, candidate.key === ownKey);
