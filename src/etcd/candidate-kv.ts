/** Reads a candidate from a key-value pair of etcd. The key of a candidate is named after its lease. */
import type { IKeyValue } from 'etcd3';
import { CandidateRecord, type QueuedCandidate } from '../core/candidate-queue.ts';

/** The lease ID of a key without a lease. */
export const NO_LEASE = '0';

/** The longest value that a candidate may announce, in bytes. Longer values of other clients are cut. */
export const LONGEST_VALUE_BYTES: number = 16 * 1024;

/**
 * The name of a key that a candidate has created: a lease ID in hex. Shorter names do not match, because they may be
 * words, such as `facade`.
 */
const LEASE_ID = /^[0-9a-f]{12,16}$/;

export const candidateKey = (keyPrefix: string, leaseId: string): string =>
  `${keyPrefix}${BigInt(leaseId).toString(16)}`;

/**
 * Whether the key is a candidate of this election. Keys of nested elections (`p/q/…` under `p/`) are not its
 * candidates.
 */
export const isCandidateKey = (keyPrefix: string, key: string): boolean =>
  key.startsWith(keyPrefix) && !key.includes('/', keyPrefix.length);

/** The lease after which a key is named, in decimal; undefined if the key has another kind of name. */
export function leaseInName(key: string): string | undefined {
  const name = key.slice(key.lastIndexOf('/') + 1);
  return LEASE_ID.test(name) ? BigInt(`0x${name}`).toString() : undefined;
}

/** Reads a candidate. Bytes of its value that are not UTF-8 become U+FFFD. */
export function candidateOf(kv: IKeyValue): QueuedCandidate {
  return new CandidateRecord({
    key: kv.key.toString(),
    value: kv.value.toString('utf8', 0, LONGEST_VALUE_BYTES),
    fencingToken: BigInt(kv.create_revision),
    leaseId: kv.lease,
  });
}

/**
 * Reads a candidate whose key was read without its value. In such a read, etcd 3.7.0 and 3.7.1 also leave out the lease
 * (https://github.com/etcd-io/etcd/issues/22209). Then the lease is taken from the name of the key.
 */
function candidateWithoutValue(kv: IKeyValue): QueuedCandidate {
  const candidate = candidateOf(kv);
  const named = candidate.leaseId === NO_LEASE ? leaseInName(candidate.key) : undefined;
  return named === undefined ? candidate : new CandidateRecord({ ...candidate, leaseId: named });
}

/** @param keysOnly whether the keys were read without their values. */
export const candidatesOf = (kvs: readonly IKeyValue[], keysOnly: boolean): QueuedCandidate[] =>
  kvs.map(keysOnly ? candidateWithoutValue : candidateOf);
