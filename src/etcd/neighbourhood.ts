/**
 * Reads what a candidate must know of its queue, at one revision and with limits. etcd still looks at the whole queue to
 * answer, but the answer is as short for ten thousand candidates as for ten.
 */
import type { IRangeRequest, IRangeResponse } from 'etcd3';
import type { Candidacy } from '../core/campaign-state.ts';
import type { Candidate } from '../core/candidate-queue.ts';
import { SHOWN, type Neighbourhood } from '../core/queue-part.ts';
import { candidateOf, isCandidateKey, queueOf, unlessTooLarge } from './election-keys.ts';
import type { CallLimits, EtcdTransport } from './transport.ts';

export interface Wanted {
  readonly own: Candidacy;
  /** Who led when we looked last. */
  readonly leader: Candidate | undefined;
  /** Whether the first of the queue are asked for: that costs etcd as much again. */
  readonly isFirstWanted: boolean;
}

/**
 * @returns undefined if keys of elections further down are among those that were found: they may stand in the place of
 *   candidates.
 * @throws {EtcdError}
 */
export async function readNeighbourhood(
  transport: EtcdTransport,
  electionKeys: string,
  wanted: Wanted,
  limits: CallLimits,
): Promise<Neighbourhood | undefined> {
  const { own, leader } = wanted;
  const answer = await unlessTooLarge((keysOnly) => {
    const success = rangesFor(electionKeys, wanted, keysOnly).map((request_range) => ({ request_range }));
    return transport.unary(
      `read the neighbours of ${own.key}`,
      (client, options) => client.kv.txn({ compare: [], success, failure: [] }, options),
      { ...limits, isHedged: true, proves: 'revision' },
    );
  });
  const [ownRange, leaderRange, nearestRange, firstRange] = answer.responses.map(
    ({ response_range }) => response_range,
  ) as [IRangeResponse, IRangeResponse, IRangeResponse, IRangeResponse | undefined];
  const shown = [nearestRange, firstRange].flatMap((range) => range?.kvs ?? []);
  if (!shown.every(({ key }) => isCandidateKey(electionKeys, key.toString()))) return undefined;
  const stillLeads = leaderRange.kvs
    .map(candidateOf)
    .find(({ fencingToken }) => fencingToken === leader?.fencingToken);
  return {
    revision: BigInt(answer.header.revision),
    total: Number(nearestRange.count),
    own: ownRange.kvs.map(candidateOf)[0],
    leader: stillLeads,
    nearest: nearestRange.kvs.map(candidateOf),
    first: firstRange?.kvs.map(candidateOf),
  };
}

/** Our own key comes with its value, however large the others are. */
function rangesFor(
  electionKeys: string,
  { own, leader, isFirstWanted }: Wanted,
  keysOnly: boolean,
): IRangeRequest[] {
  const first = queueOf(electionKeys, keysOnly, SHOWN);
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
