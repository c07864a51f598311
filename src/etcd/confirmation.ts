/**
 * Confirms a renewal by a linearizable read, on another host if there is one. The read shows whether etcd's present
 * leader knows the renewal, and whether our key still exists.
 */
import { verdictOf } from '../core/renewal-check.ts';
import type { QueuedCandidate } from '../core/candidate-queue.ts';
import { candidateOf } from './candidate-kv.ts';
import { EtcdError } from './etcd-error.ts';
import type { CallLimits, Host, EtcdTransport } from './transport.ts';

/**
 * The key to read: the key of our candidate. If we are not in the queue, it is the key that we would create. Our role in etcd
 * must be allowed to read it.
 */
export interface OwnKey {
  readonly key: string;
  onRead(found: QueuedCandidate | undefined, revision: bigint): void;
  /** Called when etcd does not permit us to read the key. It may permit the keys of other elections. */
  onDenied(fault: EtcdError): void;
}

export interface Renewal {
  readonly raftTerm: bigint;
  readonly host: Host;
}

/** The most reads for one renewal. Hosts are chosen at random, so a host that lags behind can be chosen again. */
const MOST_READS = 3;

/** Whether our role lacks a permission. A refused password concerns all keys, so it is not meant here. */
const isDenied = ({ kind, message }: EtcdError): boolean =>
  kind === 'refused' && message.endsWith('permission denied');

/**
 * @returns whether the renewal counts; false if etcd has begun another raft term since.
 * @throws {EtcdError} if no host answered, or every host that answered lags behind.
 */
export async function isConfirmed(
  transport: EtcdTransport,
  { raftTerm, host }: Renewal,
  ownKey: OwnKey,
  limits: CallLimits,
): Promise<boolean> {
  for (let reads = 1; reads <= MOST_READS; reads++) {
    const { kvs, header } = await transport
      .unary(
        'confirm the renewal',
        (client, options) => client.kv.range({ key: Buffer.from(ownKey.key) }, options),
        { ...limits, isTimely: true, lane: 'lease', isHedged: true, avoid: host, proves: 'revision' },
      )
      .catch((fault: EtcdError): never => {
        if (isDenied(fault)) ownKey.onDenied(fault);
        throw fault;
      });
    ownKey.onRead(kvs[0] && candidateOf(kvs[0]), BigInt(header.revision));
    const verdict = verdictOf(raftTerm, BigInt(header.raft_term), transport.history.known.raftTerm);
    if (verdict !== 'read-too-early') return verdict === 'confirmed';
  }
  throw new EtcdError('unavailable', 'confirm the renewal: every host that answered lags behind', true);
}
