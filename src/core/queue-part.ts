/**
 * The part of a long queue that a candidate must know. Near the front, it must know every candidate before it. Farther back, two
 * candidates before it are enough: while both exist, it is neither the first nor the next. See
 * docs/decisions/0018-long-queues.md.
 */
import type { Candidacy } from './campaign-state.ts';
import type { QueuedCandidate, CandidateQueue, Gap } from './candidate-queue.ts';

/** A candidate is near the front if at most this many precede it. */
export const FRONT = 8;

/** How many keys are read: one more than {@link FRONT}, to see whether the candidate is near the front. */
export const SHOWN: number = FRONT + 1;

/** The result of one read of a part of the queue, at one revision. */
export interface Neighbourhood {
  readonly revision: bigint;
  readonly total: number;
  readonly own: QueuedCandidate | undefined;
  /** The last known leader, if its key still exists. Then it still leads. */
  readonly leader: QueuedCandidate | undefined;
  /** The candidates before us, the nearest first; at most {@link SHOWN}. */
  readonly nearest: readonly QueuedCandidate[];
  /** The first candidates, at most {@link SHOWN}; undefined if they were not read. */
  readonly first: readonly QueuedCandidate[] | undefined;
}

export interface QueuePart {
  readonly candidates: readonly QueuedCandidate[];
  readonly gap: Gap | undefined;
  /** The two candidates before us that we watch. Undefined near the front, where we watch the whole queue. */
  readonly ahead: readonly [nearest: QueuedCandidate, eighth: QueuedCandidate] | undefined;
}

/**
 * Turns a read into the part that we know.
 *
 * @param estimate the lowest known upper bound for the candidates before us.
 */
export function partOf(seen: Neighbourhood, own: Candidacy, estimate: number): QueuePart {
  const { nearest, first = [] } = seen;
  const ours = seen.own === undefined ? [] : [seen.own];
  if (nearest.length > FRONT) {
    const [leader = seen.leader] = first;
    const ahead = [nearest[0]!, nearest[FRONT - 1]!] as const;
    const known = leader === undefined ? ahead : [leader, ...ahead];
    const before = Math.max(SHOWN, Math.min(estimate, seen.total - 1));
    const gap = {
      after: leader?.fencingToken ?? 0n,
      before: own.createRevision,
      count: before - known.length,
    };
    return { candidates: [...known, ...ours], gap, ahead };
  }
  const byKey = new Map([...first, ...nearest, ...ours].map((candidate) => [candidate.key, candidate]));
  const candidates = [...byKey.values()];
  const count = seen.total - candidates.length;
  const after = candidates.reduce(
    (last, { fencingToken }) => (fencingToken > last ? fencingToken : last),
    0n,
  );
  const gap = count > 0 ? { after, before: seen.revision + 1n, count } : undefined;
  return { candidates, gap, ahead: undefined };
}

/**
 * Whether the queue must be read again. Near the front, that is so if we lead and do not know the next candidate. Farther
 * back, it is so if a candidate in `ahead` has left.
 */
export function needsRead(queue: CandidateQueue, own: Candidacy, ahead: QueuePart['ahead']): boolean {
  if (ahead === undefined) return queue.leader?.key === own.key && queue.isFirstOtherUnknown(own.key);
  return ahead.some(({ key, fencingToken }) => queue.get(key)?.fencingToken !== fencingToken);
}

/** How long etcd takes to scan one candidate, in milliseconds. It scans the whole queue to find the keys before ours. */
const SCAN_MS = 0.0011;

/** The share of one core that etcd may spend on reads of the leader by candidates far back. */
const SHARE = 0.03;

const SPREAD_CAP_MS = 30_000;

/**
 * Over how many milliseconds candidates spread their reads if many lose a neighbour at once. Each candidate waits for a random
 * part of this time. The time is enough for one read by each candidate before this one. It is at most 30 s.
 */
export const spreadMs = (before: number, total: number): number =>
  Math.min(SPREAD_CAP_MS, before * total * SCAN_MS);

/**
 * Over how many milliseconds all candidates spread their reads of the leader: etcd then needs {@link SHARE} of one
 * core for them. These reads are not urgent, so the time has no cap.
 */
export const leaderSpreadMs = (total: number): number => (total * total * SCAN_MS) / SHARE;

const LEADER_EVERY_MS = 10_000;

/** The shortest time between two reads of the leader by one candidate, in milliseconds. */
export const leaderEveryMs = (total: number): number => Math.max(LEADER_EVERY_MS, leaderSpreadMs(total));
