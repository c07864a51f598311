/**
 * Reads the queues of candidates, and their leases, from etcd.
 */
import { Range, type Etcd3 } from 'etcd3';
import { byAge } from '../core/candidate-queue.ts';
import { etcdErrorOf } from '../etcd/etcd-error.ts';

export interface Candidate {
  readonly election: string;
  readonly key: string;
  readonly value: string;
  /** Creation revision of the key. */
  readonly fencingToken: bigint;
  /** In decimal; `0` if the key has no lease. */
  readonly leaseId: string;
}

export interface LeaseLeft {
  /** Seconds until the lease expires without a renewal; -1 if the lease is gone. */
  readonly leftSeconds: number;
  readonly grantedSeconds: number;
}

export interface ElectionQueue {
  readonly election: string;
  /** The first one leads. */
  readonly candidates: readonly Candidate[];
}

export interface Queues {
  /** ID of the etcd cluster, in decimal. */
  readonly clusterId: string;
  readonly queues: readonly ElectionQueue[];
}

interface KeyValue {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly create_revision: string;
  readonly lease: string;
}

/** How many keys one request asks for. A reply of gRPC has at most 4 MiB, and a value of a candidate at most 16 KiB. */
const KEYS_AT_ONCE = 200;

/** Reads all elections under the prefix, or the named one, as of one revision. The read is linearizable. */
export async function readQueues(client: Etcd3, prefix: string, election?: string): Promise<Queues> {
  const { start: first, end } = Range.prefix(election === undefined ? prefix : `${prefix}${election}/`);
  const kvs: KeyValue[] = [];
  let atOnce = KEYS_AT_ONCE;
  let start = first;
  let revision: string | undefined;
  for (;;) {
    const range = client.getAll().inRange({ start, end }).limit(atOnce);
    let page;
    try {
      page = await (revision === undefined ? range : range.revision(revision)).exec();
    } catch (error) {
      // The reply was too large, because other programs may keep larger values here. The next request asks for fewer keys.
      if (!/larger than max/.test(String(error)) || atOnce === 1) throw error;
      atOnce = Math.ceil(atOnce / 8);
      continue;
    }
    revision ??= page.header.revision;
    kvs.push(...page.kvs);
    const last = page.kvs.at(-1);
    if (!page.more || last === undefined)
      return { clusterId: page.header.cluster_id, queues: queuesOf(kvs, prefix) };
    start = Buffer.concat([last.key, Buffer.of(0)]);
  }
}

/** Groups keys by election. Only keys of the form `<prefix><election>/<lease>` are candidates. Pure. */
export function queuesOf(kvs: readonly KeyValue[], prefix: string): ElectionQueue[] {
  const queues = new Map<string, Candidate[]>();
  for (const kv of kvs) {
    const key = kv.key.toString();
    const match = /^([^/]+)\/[^/]+$/.exec(key.slice(prefix.length));
    if (match === null) continue;
    const election = match[1]!;
    const candidate: Candidate = {
      election,
      key,
      value: kv.value.toString(),
      fencingToken: BigInt(kv.create_revision),
      leaseId: kv.lease,
    };
    const queue = queues.get(election);
    if (queue === undefined) queues.set(election, [candidate]);
    else queue.push(candidate);
  }
  return [...queues]
    .map(([election, candidates]) => ({ election, candidates: candidates.sort(byAge) }))
    .sort((a, b) => (a.election < b.election ? -1 : 1));
}

const LEASES_AT_ONCE = 32;

/** Reads the leases of the candidates, by lease ID. */
export async function readLeases(
  client: Etcd3,
  candidates: readonly Candidate[],
): Promise<Map<string, LeaseLeft>> {
  const ids = [...new Set(candidates.map(({ leaseId }) => leaseId))].filter((id) => id !== '0');
  const left = new Map<string, LeaseLeft>();
  for (let at = 0; at < ids.length; at += LEASES_AT_ONCE) {
    const some = ids.slice(at, at + LEASES_AT_ONCE);
    const answers = await Promise.all(
      some.map((ID) => client.leaseClient.leaseTimeToLive({ ID, keys: false })),
    );
    answers.forEach(({ TTL, grantedTTL }, index) =>
      left.set(some[index]!, { leftSeconds: Number(TTL), grantedSeconds: Number(grantedTTL) }),
    );
  }
  return left;
}

/** Notes whether etcd may have carried out a request whose answer was lost. */
export class LostAnswers {
  hasAny = false;

  readonly note = (error: unknown): void => {
    this.hasAny ||= etcdErrorOf('request', undefined, error).mayHaveHappened;
  };
}

/**
 * Deletes the candidate's key, unless a newer key has replaced it. If the answer is lost, sends the same transaction again,
 * which is harmless: it names the creation revision of the key.
 *
 * @param lost must be told of every retry of the client. After an error, it says whether the key may have been deleted.
 * @returns `gone` if the key did not exist any more. If an answer was lost, we may have deleted it: `gone-unexplained`.
 */
export async function removeCandidate(
  client: Etcd3,
  { key, fencingToken }: Candidate,
  lost: LostAnswers,
): Promise<'removed' | 'gone' | 'gone-unexplained'> {
  const commit = (): Promise<{ succeeded: boolean }> =>
    client.if(key, 'Create', '==', fencingToken.toString()).then(client.delete().key(key)).commit();
  lost.hasAny = false; // earlier requests were reads
  const { succeeded } = await commit().catch((error: unknown) => {
    lost.note(error);
    if (!lost.hasAny) throw error;
    return commit();
  });
  if (succeeded) return 'removed';
  return lost.hasAny ? 'gone-unexplained' : 'gone';
}
