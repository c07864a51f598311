/**
 * Deletes a candidate key that has no lease, if the lease after which the key is named is gone.
 *
 * A candidate key is named after the lease under which it was created. An operator may have put it again without a
 * lease. Then no lease deletes the key, and the replica that created it may never come back.
 */
import type { QueuedCandidate } from '../core/candidate-queue.ts';
import { clock } from '../util/clock.ts';
import { leaseInName, NO_LEASE } from './candidate-kv.ts';
import { createdAt } from './election-keys.ts';
import type { CallLimits, EtcdTransport } from './transport.ts';

/**
 * `held`: the name of the key is the ID of a lease that still exists, and expires in `leftMs` milliseconds. `kept`: the
 * key is no orphan. `changed`: the key is gone, or is not the one that we saw.
 */
export type Fate =
  { readonly type: 'held'; readonly leftMs: number } | { readonly type: 'deleted' | 'kept' | 'changed' };

/** Whether no lease will delete this key, although a candidate has created it. */
export const isDetached = (candidate: QueuedCandidate): boolean =>
  candidate.leaseId === NO_LEASE && leaseInName(candidate.key) !== undefined;

/** Whether another program has put this key, without a lease. Candidates have a lease. */
export const isForeign = (candidate: QueuedCandidate): boolean =>
  candidate.leaseId === NO_LEASE && leaseInName(candidate.key) === undefined;

/** All calls together take at most the limit of one call. @throws {EtcdError} */
export async function deleteIfOrphaned(
  transport: EtcdTransport,
  candidate: QueuedCandidate,
  limits: CallLimits,
): Promise<Fate> {
  const dueAtMs = clock.now() + limits.withinMs;
  const left = (): CallLimits => ({ ...limits, withinMs: Math.max(0, dueAtMs - clock.now()) });
  const ID = leaseInName(candidate.key)!;
  const { TTL } = await transport.unary(
    'ask for the lease after which a key is named',
    (client, options) => client.leaseClient.leaseTimeToLive({ ID }, options),
    { ...limits, isHedged: true },
  );
  if (Number(TTL) >= 0) return { type: 'held', leftMs: Number(TTL) * 1000 };
  const key = Buffer.from(candidate.key);
  const { kvs } = await transport.unary(
    `look for ${candidate.key}`,
    (client, options) => client.kv.range({ key }, options),
    { ...left(), isHedged: true, proves: 'revision' },
  );
  const [found] = kvs;
  const isSame = found?.lease === NO_LEASE && BigInt(found.create_revision) === candidate.fencingToken;
  if (!isSame) return { type: 'changed' };
  // The key has no lease now. If it was put only once, it never had a lease, and may be data of another program.
  if (Number(found.version) === 1) return { type: 'kept' };
  const { mod_revision } = found;
  const unchanged = { key, target: 'Mod', result: 'Equal', mod_revision } as const;
  const compare = [createdAt(candidate.key, candidate.fencingToken), unchanged];
  const { succeeded } = await transport.unary(
    `delete the orphaned key ${candidate.key}`,
    (client, options) => client.kv.txn({ compare, success: [{ request_delete_range: { key } }] }, options),
    { ...left(), isHedged: true },
  );
  return { type: succeeded ? 'deleted' : 'changed' };
}
