/**
 * Reads the part of the queue that a candidate must know, at one revision. The answer is as short for ten thousand
 * candidates as for ten, although etcd still scans the whole queue.
 */
import type { IRangeRequest, IRangeResponse } from 'etcd3';
import type { Candidacy } from '../core/campaign-state.ts';
import type { QueuedCandidate } from '../core/candidate-queue.ts';
import { SHOWN, type Neighbourhood } from '../core/queue-part.ts';
import { candidateOf, candidatesOf, isCandidateKey } from './candidate-kv.ts';
import { queueOf, unlessTooLarge } from './election-keys.ts';
import type { CallLimits, EtcdTransport } from './transport.ts';

export interface Wanted {
  readonly own: Candidacy;
  readonly leader: QueuedCandidate | undefined;
  /** Whether to read the first candidates too. That doubles etcd's work. */
  readonly isFirstWanted: boolean;
}

/**
 * @returns undefined if keys of nested elections were found, because they may displace candidates in the answer.
 * @throws {EtcdError}
 */
export async function readNeighbourhood(
  transport: EtcdTransport,
  keyPrefix: string,
  wanted: Wanted,
  limits: CallLimits,
): Promise<Neighbourhood | undefined> {
  const { own, leader } = wanted;
  const { answer, keysOnly } = await unlessTooLarge(async (keysOnly) => {
    const success = rangesFor(keyPrefix, wanted, keysOnly).map((request_range) => ({ request_range }));
    const answer = await transport.unary(
      `read the neighbours of ${own.key}`,
      (client, options) => client.kv.txn({ compare: [], success, failure: [] }, options),
      { ...limits, isHedged: true, proves: 'revision' },
    );
    return { answer, keysOnly };
  });
  const [ownRange, leaderRange, nearestRange, firstRange] = answer.responses.map(
    ({ response_range }) => response_range,
  ) as [IRangeResponse, IRangeResponse, IRangeResponse, IRangeResponse | undefined];
  const shown = [nearestRange, firstRange].flatMap((range) => range?.kvs ?? []);
  if (!shown.every(({ key }) => isCandidateKey(keyPrefix, key.toString()))) return undefined;
  const stillLeads = candidatesOf(leaderRange.kvs, keysOnly).find(
    ({ fencingToken }) => fencingToken === leader?.fencingToken,
  );
  return {
    revision: BigInt(answer.header.revision),
    total: Number(nearestRange.count),
    own: ownRange.kvs.map(candidateOf)[0],
    leader: stillLeads,
    nearest: candidatesOf(nearestRange.kvs, keysOnly),
    first: firstRange && candidatesOf(firstRange.kvs, keysOnly),
  };
}

/** Our own key is always read with its value. */
function rangesFor(
  keyPrefix: string,
  { own, leader, isFirstWanted }: Wanted,
  keysOnly: boolean,
): IRangeRequest[] {
  const first = queueOf(keyPrefix, keysOnly, SHOWN);
  const nearest = {
    ...first,
    sort_order: 'Descend',
    max_create_revision: (own.createRevision - 1n).toString(),
  } as const;
  return [
    { key: Buffer.from(own.key) },
    { key: Buffer.from(leader?.key ?? own.key), keys_only: keysOnly },
    nearest,
    ...(isFirstWanted ? [first] : []),
  ];
}
