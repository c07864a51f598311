/** Which etcd the lab runs. */
import { join } from 'node:path';
import { etcdPath, type EtcdSeries } from 'etcd-election/dev';

/** The folder of an etcd to test instead, with `etcd`, `etcdctl` and `etcdutl`. For releases that Debian does not package. */
const GIVEN_ETCD = process.env['LAB_ETCD'];

/** The versions that a test needs; only the given etcd (`undefined`) if there is one. */
export const seriesOrGiven = (...series: readonly EtcdSeries[]): (EtcdSeries | undefined)[] =>
  GIVEN_ETCD === undefined ? [...series] : [undefined];

/**
 * The given etcd, else etcd 3.5 if available, else any etcd. Before 3.4.31 and 3.5.13 an etcd leader that returns from a freeze
 * revokes leases that its successor has renewed (etcd issue 15247). With those versions no client can keep S2.
 */
export async function etcdBinary(series?: EtcdSeries): Promise<string> {
  if (series === undefined && GIVEN_ETCD !== undefined) return join(GIVEN_ETCD, 'etcd');
  return await etcdPath({ series: series ?? '3.5' }).catch(() => etcdPath());
}
