/**
 * A transaction that commits only while one term is the leader, and is sent once: etcd3 repeats writes whose
 * answer was lost, and a fenced write that lands twice is as wrong as one that lands late.
 */
import { ComparatorBuilder, type KVClient } from 'etcd3';
import type { Candidacy } from '../core/campaign.ts';
import type { EtcdFault } from './fault.ts';
import type { CallLimits, Link } from './link.ts';

type Namespace = ConstructorParameters<typeof ComparatorBuilder>[1];

/** Keys are taken as they are: the client that is passed in has no prefix. */
const asTheyAre = { applyKey: (key: Buffer) => key } as unknown as Namespace;

/**
 * @param onFault makes the error that `commit()` rejects with.
 * @param limits asked for when the transaction is sent; may throw to keep it from being sent.
 */
export function fencedTxn(
  link: Link,
  candidacy: Candidacy,
  limits: () => CallLimits,
  onFault: (fault: EtcdFault) => Error,
): ComparatorBuilder {
  const sentOnce: Pick<KVClient, 'txn'> = {
    async txn(request, userOptions) {
      try {
        return await link.unary(
          `fenced transaction of ${candidacy.key}`,
          (options) => link.client.kv.txn(request, { ...userOptions, ...options }),
          limits(),
        );
      } catch (error) {
        throw onFault(error as EtcdFault);
      }
    },
  };
  return new ComparatorBuilder(sentOnce as KVClient, asTheyAre).and(
    candidacy.key,
    'Create',
    '==',
    candidacy.createRevision.toString(),
  );
}
