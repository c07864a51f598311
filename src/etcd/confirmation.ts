/**
 * One linearizable read after a renewal, on another host where there is one: it tells whether etcd's present leader stands
 * behind the renewal, and whether our key still stands.
 */
import { verdictOf } from '../core/renewal-check.ts';
import type { Candidate } from '../core/candidate-queue.ts';
import { candidateOf } from './election-keys.ts';
import { EtcdError } from './etcd-error.ts';
import type { CallLimits, Host, EtcdTransport } from './transport.ts';

/** A key that the role may read: the one that our candidate has, or would have. */
export interface OwnKey {
  readonly key: string;
  /** What stood there, at which revision. */
  onRead(found: Candidate | undefined, revision: bigint): void;
}

/** What the answer to a renewal said. */
export interface Renewal {
  readonly raftTerm: bigint;
  readonly host: Host;
}

/** A host that has not applied the newest term is passed over by chance only: so often it is asked at most. */
const MOST_READS = 3;

/**
 * @returns false where the renewal was acknowledged in an older raft term than the present one.
 * @throws {EtcdError} if no host answered, or all that did are behind.
 */
export async function isConfirmed(
  transport: EtcdTransport,
  { raftTerm, host }: Renewal,
  ownKey: OwnKey,
  limits: CallLimits,
): Promise<boolean> {
  for (let reads = 1; reads <= MOST_READS; reads++) {
    const { kvs, header } = await transport.unary(
      'confirm the renewal',
      (client, options) => client.kv.range({ key: Buffer.from(ownKey.key) }, options),
      { ...limits, isTimely: true, lane: 'lease', isHedged: true, avoid: host, proves: 'revision' },
    );
    ownKey.onRead(kvs[0] && candidateOf(kvs[0]), BigInt(header.revision));
    const verdict = verdictOf(raftTerm, BigInt(header.raft_term), transport.history.known.raftTerm);
    if (verdict !== 'read-too-early') return verdict === 'confirmed';
  }
  throw new EtcdError('unavailable', 'confirm the renewal: all who answered are behind', true);
}
