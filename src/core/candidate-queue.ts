/**
 * The candidates of one election, in order of creation revision. A read fills the queue, and watch events update it. A new
 * candidate always enters behind the others. So we lead when no candidate is left before ours.
 */
import type { Candidacy } from './campaign-state.ts';
import { jsonOf } from './json.ts';

/** A candidate as the queue holds it. In JSON, its token is a string. */
export interface QueuedCandidate {
  readonly key: string;
  /** The value that the candidate announces. */
  readonly value: string;
  /** Creation revision of the key. It orders the queue, and is the fencing token of the leader. */
  readonly fencingToken: bigint;
  /** ID of the lease to which the key is attached, in decimal; `0` for a key without a lease. */
  readonly leaseId: string;
}

export class CandidateRecord implements QueuedCandidate {
  readonly key: string;
  readonly value: string;
  readonly fencingToken: bigint;
  readonly leaseId: string;

  constructor({ key, value, fencingToken, leaseId }: QueuedCandidate) {
    this.key = key;
    this.value = value;
    this.fencingToken = fencingToken;
    this.leaseId = leaseId;
  }

  toJSON(): object {
    return jsonOf(this);
  }
}

/** Whether the found key is the one that we created, and is still attached to our lease. */
export const isStanding = (
  found: QueuedCandidate | undefined,
  { createRevision, leaseId }: Candidacy,
): boolean => found?.fencingToken === createRevision && found.leaseId === leaseId;

type Aged = Pick<QueuedCandidate, 'key' | 'fencingToken'>;

/**
 * Compares by age, the oldest first. Another client may create several keys in one transaction, and so at one revision. Then
 * the bytes of the keys decide, so that all replicas see the same leader.
 */
export function byAge(a: Aged, b: Aged): number {
  if (a.fencingToken !== b.fencingToken) return a.fencingToken < b.fencingToken ? -1 : 1;
  return a.key === b.key ? 0 : Buffer.compare(Buffer.from(a.key), Buffer.from(b.key));
}

export type QueueEvent =
  | { readonly type: 'put'; readonly candidate: QueuedCandidate }
  | { readonly type: 'delete'; readonly key: string };

/**
 * Candidates that we have not read, created after the revision `after` and before the revision `before`. Some may have left
 * since.
 */
export interface Gap {
  readonly after: bigint;
  readonly before: bigint;
  /** An upper bound for their number; at least 1. */
  readonly count: number;
}

export interface Place {
  /** The candidate at position 1 leads. */
  readonly position: number;
  /** Whether the position is an upper bound, because unknown candidates before it may have left. */
  readonly isEstimate: boolean;
}

export class CandidateQueue {
  #byKey = new Map<string, QueuedCandidate>();
  /** Oldest first. */
  #queue: QueuedCandidate[] = [];
  #gap: Gap | undefined;

  constructor(candidates: Iterable<QueuedCandidate> = []) {
    this.reset(candidates);
  }

  /** Replaces all candidates with those of a read. @param gap the candidates that the read leaves out. Default: none. */
  reset(candidates: Iterable<QueuedCandidate>, gap?: Gap): void {
    this.#gap = gap;
    this.#queue = [...candidates].sort(byAge);
    this.#byKey = new Map(this.#queue.map((candidate) => [candidate.key, candidate]));
  }

  /** Applies an event of the watch. The events of one key must come in the order of their revisions. */
  apply(event: QueueEvent): void {
    if (event.type === 'delete') {
      this.#remove(event.key);
      return;
    }
    const { candidate } = event;
    const known = this.#byKey.get(candidate.key);
    if (known?.fencingToken === candidate.fencingToken) {
      this.#queue[this.#placeOf(known)] = candidate; // the candidate has announced a new value
    } else {
      if (known !== undefined) this.#remove(candidate.key); // deleted and created again: a new candidate
      this.#queue.splice(this.#placeOf(candidate), 0, candidate);
    }
    this.#byKey.set(candidate.key, candidate);
  }

  get size(): number {
    return this.#queue.length;
  }

  /** The first candidate; undefined if there is none, or if it is unknown. */
  get leader(): QueuedCandidate | undefined {
    return this.#beforeGap(this.#queue[0]);
  }

  get isLeaderUnknown(): boolean {
    return this.#gap !== undefined && this.leader === undefined;
  }

  /** The first candidate other than the one with this key; undefined if there is none, or if it is unknown. */
  firstOther(key: string): QueuedCandidate | undefined {
    return this.#beforeGap(this.#queue.find((candidate) => candidate.key !== key));
  }

  isFirstOtherUnknown(key: string): boolean {
    return this.#gap !== undefined && this.firstOther(key) === undefined;
  }

  /** The known candidates, the oldest first. */
  get candidates(): readonly QueuedCandidate[] {
    return this.#queue;
  }

  get(key: string): QueuedCandidate | undefined {
    return this.#byKey.get(key);
  }

  /** How many candidates are before this one; an upper bound if {@link isEstimateFor}. */
  olderThan({ key, createRevision }: Pick<Candidacy, 'key' | 'createRevision'>): number {
    const known = this.#placeOf({ key, fencingToken: createRevision });
    return known + (this.isEstimateFor({ createRevision }) ? this.#gap!.count : 0);
  }

  isEstimateFor({ createRevision }: Pick<Candidacy, 'createRevision'>): boolean {
    return this.#gap !== undefined && createRevision >= this.#gap.before;
  }

  place(candidacy: Pick<Candidacy, 'key' | 'createRevision'>): Place {
    return { position: this.olderThan(candidacy) + 1, isEstimate: this.isEstimateFor(candidacy) };
  }

  #beforeGap(candidate: QueuedCandidate | undefined): QueuedCandidate | undefined {
    const isKnownFirst = this.#gap === undefined || (candidate?.fencingToken ?? 0n) <= this.#gap.after;
    return isKnownFirst ? candidate : undefined;
  }

  #remove(key: string): void {
    const known = this.#byKey.get(key);
    if (known === undefined) return;
    this.#byKey.delete(key);
    this.#queue.splice(this.#placeOf(known), 1);
  }

  /** The index of the first candidate that is not older than this one. The search is binary, because a queue may be long. */
  #placeOf(candidate: Aged): number {
    let low = 0;
    let high = this.#queue.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (byAge(this.#queue[middle]!, candidate) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
