/**
 * Decides which requests of different elections share a transaction.
 *
 * A transaction holds at most one entry of each election. All keys that one transaction puts have the same creation revision.
 * So two entries of one election would get the same fencing token.
 */

/** How many requests share a transaction at most. By default etcd accepts 128 operations, and an entry needs two. */
export const MOST_TOGETHER = 64;

/** The largest size of a transaction, and of its answer, in bytes. By default etcd accepts 1.5 MiB, and gRPC clients 4 MB. */
export const MOST_BYTES: number = 1024 * 1024;

export interface Splittable {
  readonly keyPrefix: string;
  /** About how many bytes this request adds to the transaction. */
  readonly sentBytes: number;
  /** About how many bytes this request adds to the answer. */
  readonly answerBytes: number;
  /** How long its caller waits for the answer, in milliseconds. Only callers with the same limit share a transaction. */
  readonly withinMs: number;
}

/** Splits requests into groups that may be sent together, in order. A request that is too large is alone in its group. */
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
      !elections.has(request.keyPrefix) &&
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
    elections.add(request.keyPrefix);
    sentBytes += request.sentBytes;
    answerBytes += request.answerBytes;
  }
  return groups;
}
