/** etcd as Debian packages it: by series, or the newest that runs here. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { debianFolder, fetchFromDebian, type DebianPrograms } from './debian-package.ts';

/** Minor versions of etcd that a Debian release has; `newest` is what its unstable one has. */
export type EtcdSeries = '3.4' | '3.5' | 'newest';

const releases: Record<EtcdSeries, string> = { '3.4': 'bookworm', '3.5': 'trixie', newest: 'sid' };

/** For the newest one, which is not everywhere: then there is time left for another. */
const NEWEST_WITHIN_MS = 90_000;

/** What this machine's own release has. */
const OWN = 'debian';

/** Where an etcd may be unpacked already, the best first. */
export const unpackedEtcds = (series: EtcdSeries | undefined): Promise<string[]> =>
  Promise.all((series === undefined ? ['newest', OWN] : [series]).map(debianFolder));

/**
 * Unpacks `etcd` and `etcdctl`. Without a series it is the newest that Debian has; if that cannot be had, or does not run
 * here, the one of this machine's own release.
 *
 * @returns the folder.
 * @throws {Error} if neither can be had.
 */
export async function fetchEtcd(series: EtcdSeries | undefined): Promise<string> {
  if (series !== undefined) return await fetchFromDebian(etcdOf(series));
  try {
    const signal = AbortSignal.timeout(NEWEST_WITHIN_MS);
    return await fetchFromDebian({ ...etcdOf('newest'), signal });
  } catch (error) {
    return await fetchFromDebian(etcdOf(undefined)).catch((own: Error) => {
      throw new AggregateError([error, own], own.message);
    });
  }
}

const etcdOf = (series: EtcdSeries | undefined): DebianPrograms => ({
  packages: ['etcd-server', 'etcd-client'],
  folder: series ?? OWN,
  release: series && releases[series],
  check: async (folder) => void (await promisify(execFile)(join(folder, 'etcd'), ['--version'])),
});
