/**
 * What a candidate must know of a long queue. Near the front that is everybody before it, and all that happens. Behind that
 * it is enough to know two candidates before it: as long as both stand, it is neither first nor next.
 *
 * So a change costs the same in a queue of ten and in one of ten thousand: it is told to those near the front, and to the few
 * behind them that have this candidate as one of their two.
 */
import type { Candidacy } from './campaign-state.ts';
import type { Candidate, CandidateQueue, Gap } from './candidate-queue.ts';

/** A candidate with at most so many before it is near the front. */
export const FRONT = 8;

/** So many keys show whether there are more than {@link FRONT}. */
export const SHOWN: number = FRONT + 1;

/** What one read has shown of a queue, at one revision. */
export interface Neighbourhood {
  readonly revision: bigint;
  /** How many candidates the queue has. */
  readonly total: number;
  readonly own: Candidate | undefined;
  /** Who led when we looked last, if that key still stands: then it still leads. */
  readonly leader: Candidate | undefined;
  /** Those before us, the nearest first, at most {@link SHOWN}. */
  readonly nearest: readonly Candidate[];
  /** The first of the queue, at most {@link SHOWN}; undefined if that was not asked. */
  readonly first: readonly Candidate[] | undefined;
}

/** What is known of a queue. */
export interface QueuePart {
  readonly candidates: readonly Candidate[];
  readonly gap: Gap | undefined;
  /** The two before us that we watch, and not the whole queue; undefined near the front. */
  readonly ahead: readonly [nearest: Candidate, eighth: Candidate] | undefined;
}

/** @param estimate how many stand before us, at most, as far as we know. */
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

/** Whether one of the two before us has gone, or near the front, whether we lead and do not know who is next. */
export function isShort(queue: CandidateQueue, own: Candidacy, ahead: QueuePart['ahead']): boolean {
  if (ahead === undefined) return queue.leader?.key === own.key && queue.isFirstUnknownBeside(own.key);
  return ahead.some(({ key, fencingToken }) => queue.get(key)?.fencingToken !== fencingToken);
}

/** etcd looks at the whole queue to find the neighbours of a key: so long for each candidate, in milliseconds. */
const SCAN_MS = 0.0011;

/** The share of a core of etcd that may be spent on showing the leader to those far back. */
const SHARE = 0.03;

const SPREAD_CAP_MS = 30_000;

/**
 * Many that lose their neighbours at once read at moments spread over what etcd needs for them and those before them: a
 * candidate nearer to the front reads earlier.
 */
export const spreadMs = (before: number, total: number): number =>
  Math.min(SPREAD_CAP_MS, before * total * SCAN_MS);

/** The same for reads of the leader, which have time. */
export const leaderSpreadMs = (total: number): number => (total * total * SCAN_MS) / SHARE;

const LEADER_EVERY_MS = 10_000;

/** One candidate far back reads the leader again after so long at the earliest. */
export const leaderEveryMs = (total: number): number => Math.max(LEADER_EVERY_MS, leaderSpreadMs(total));
