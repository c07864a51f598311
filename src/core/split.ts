/**
 * Which requests of different elections share a transaction.
 *
 * At most one of an election: all that one transaction puts has one creation revision, so two candidates of an election
 * would have one fencing token.
 */

/** etcd takes 128 operations in a transaction by default; an entry is two of them. */
export const MOST_TOGETHER = 64;

/** Of a transaction, and of its answer. etcd takes 1.5 MiB by default, and gRPC clients take answers of 4 MB. */
export const MOST_BYTES: number = 1024 * 1024;

export interface Splittable {
  readonly electionKeys: string;
  /** About so many bytes of the transaction are its. */
  readonly sentBytes: number;
  /** About so many bytes of the answer are its. */
  readonly answerBytes: number;
  /** How long its caller waits for the answer, in milliseconds: callers with the same limit share a transaction. */
  readonly withinMs: number;
}

/** Groups that may be sent together, in order. What is too large for any group is a group of its own. */
export function split<T extends Splittable>(requests: Iterable<T>): T[][] {
  const groups: T[][] = [];
  let elections = new Set<string>();
  let sentBytes = 0;
  let answerBytes = 0;
  for (const request of requests) {
    const last = groups.at(-1);
    const fits =
      last !== undefined &&
      last.length < MOST_TOGETHER &&
      !elections.has(request.electionKeys) &&
      last[0]!.withinMs === request.withinMs &&
      sentBytes + request.sentBytes <= MOST_BYTES &&
      answerBytes + request.answerBytes <= MOST_BYTES;
    if (fits) last.push(request);
    else {
      groups.push([request]);
      elections = new Set();
      sentBytes = 0;
      answerBytes = 0;
    }
    elections.add(request.electionKeys);
    sentBytes += request.sentBytes;
    answerBytes += request.answerBytes;
  }
  return groups;
}
