/**
 * The candidates of one election in order of creation revision: who leads, who is next, where we stand.
 *
 * Made from one range at a known revision and kept true by watch events in revision order. Candidates older
 * than a given one can only go, never come: that is why an empty place before ours means that we lead.
 */
import type { Candidacy } from './campaign-state.ts';
import { jsonOf } from './json.ts';

/** In JSON its token is a string. */
export interface Candidate {
  readonly key: string;
  /** What the candidate announces. */
  readonly value: string;
  /** The key's creation revision: orders the queue, and is the fencing token of whoever leads. */
  readonly fencingToken: bigint;
  /** Lease that the key hangs on, in decimal; `0` for a key without one. */
  readonly leaseId: string;
}

/** A {@link Candidate} as it was read from etcd. */
export class QueuedCandidate implements Candidate {
  readonly key: string;
  readonly value: string;
  readonly fencingToken: bigint;
  readonly leaseId: string;

  constructor({ key, value, fencingToken, leaseId }: Candidate) {
    this.key = key;
    this.value = value;
    this.fencingToken = fencingToken;
    this.leaseId = leaseId;
  }

  toJSON(): object {
    return jsonOf(this);
  }
}

/** Whether the key found is the one that we put there, and still hangs on our lease. */
export const isStanding = (found: Candidate | undefined, { createRevision, leaseId }: Candidacy): boolean =>
  found?.fencingToken === createRevision && found.leaseId === leaseId;

type Aged = Pick<Candidate, 'key' | 'fencingToken'>;

/**
 * Oldest first. Keys that one foreign transaction put together share a creation revision: among them the bytes of the key
 * decide, so all replicas see the same leader.
 */
export function byAge(a: Aged, b: Aged): number {
  if (a.fencingToken !== b.fencingToken) return a.fencingToken < b.fencingToken ? -1 : 1;
  return a.key === b.key ? 0 : Buffer.compare(Buffer.from(a.key), Buffer.from(b.key));
}

export type QueueEvent =
  { readonly type: 'put'; readonly candidate: Candidate } | { readonly type: 'delete'; readonly key: string };

/**
 * Candidates that are not known. They were created after one revision and before the other. Some may have gone since: we
 * are not told.
 */
export interface Gap {
  readonly after: bigint;
  readonly before: bigint;
  /** How many there were at most; at least 1. */
  readonly count: number;
}

export interface Place {
  /** 1 leads. */
  readonly position: number;
  /** Whether the position is an upper bound: candidates before it may have left that are not known. */
  readonly isEstimate: boolean;
}

export class CandidateQueue {
  #byKey = new Map<string, Candidate>();
  /** Oldest first. */
  #queue: Candidate[] = [];
  #gap: Gap | undefined;

  constructor(candidates: Iterable<Candidate> = []) {
    this.reset(candidates);
  }

  /** The range is the truth: forget all, take these. @param gap what these leave out. Default: nothing. */
  reset(candidates: Iterable<Candidate>, gap?: Gap): void {
    this.#gap = gap;
    this.#queue = [...candidates].sort(byAge);
    this.#byKey = new Map(this.#queue.map((candidate) => [candidate.key, candidate]));
  }

  apply(event: QueueEvent): void {
    if (event.type === 'delete') {
      this.#remove(event.key);
      return;
    }
    const { candidate } = event;
    const known = this.#byKey.get(candidate.key);
    if (known?.fencingToken === candidate.fencingToken) {
      this.#queue[this.#placeOf(known)] = candidate; // a proclaim
    } else {
      if (known !== undefined) this.#remove(candidate.key); // deleted and created anew: a new candidate
      this.#queue.splice(this.#placeOf(candidate), 0, candidate);
    }
    this.#byKey.set(candidate.key, candidate);
  }

  get size(): number {
    return this.#queue.length;
  }

  /** Undefined if nobody leads, or if it is not known who does. */
  get leader(): Candidate | undefined {
    return this.#beforeGap(this.#queue[0]);
  }

  /** Whether {@link leader} is undefined because of candidates that are not known. */
  get isLeaderUnknown(): boolean {
    return this.#gap !== undefined && this.leader === undefined;
  }

  /** Who is first without this candidate; undefined if nobody is, or if it is not known who. */
  firstBeside(key: string): Candidate | undefined {
    return this.#beforeGap(this.#queue.find((candidate) => candidate.key !== key));
  }

  /** Whether {@link firstBeside} is undefined because of candidates that are not known. */
  isFirstUnknownBeside(key: string): boolean {
    return this.#gap !== undefined && this.firstBeside(key) === undefined;
  }

  /** Those that are known. */
  get candidates(): readonly Candidate[] {
    return this.#queue;
  }

  /** The candidate that stands under this key now. */
  get(key: string): Candidate | undefined {
    return this.#byKey.get(key);
  }

  /** How many candidates stand before this one; at most so many if {@link isEstimateFor} it. */
  olderThan({ key, createRevision }: Pick<Candidacy, 'key' | 'createRevision'>): number {
    const known = this.#placeOf({ key, fencingToken: createRevision });
    return known + (this.isEstimateFor({ createRevision }) ? this.#gap!.count : 0);
  }

  /** Whether some of those before this candidate are not known. Then it is never the first. */
  isEstimateFor({ createRevision }: Pick<Candidacy, 'createRevision'>): boolean {
    return this.#gap !== undefined && createRevision >= this.#gap.before;
  }

  place(candidacy: Pick<Candidacy, 'key' | 'createRevision'>): Place {
    return { position: this.olderThan(candidacy) + 1, isEstimate: this.isEstimateFor(candidacy) };
  }

  #beforeGap(candidate: Candidate | undefined): Candidate | undefined {
    const isKnownFirst = this.#gap === undefined || (candidate?.fencingToken ?? 0n) <= this.#gap.after;
    return isKnownFirst ? candidate : undefined;
  }

  #remove(key: string): void {
    const known = this.#byKey.get(key);
    if (known === undefined) return;
    this.#byKey.delete(key);
    this.#queue.splice(this.#placeOf(known), 1);
  }

  /** Index of the first candidate that is not older: binary search, for queues of thousands. */
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
