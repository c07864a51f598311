import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { debianFolder, fetchFromDebian, type DebianPrograms } from './debian-package.ts';

/** Minor versions of etcd in Debian's releases. `newest` is the version in Debian unstable. */
export type EtcdSeries = '3.4' | '3.5' | 'newest';

const releases: Record<EtcdSeries, string> = { '3.4': 'bookworm', '3.5': 'trixie', newest: 'sid' };

/** Time limit for the newest version, which some archives lack. Time must remain to fetch the version of this machine's release. */
const NEWEST_WITHIN_MS = 90_000;

/** The folder for the version in the Debian release of this machine. */
const OWN = 'debian';

/** Folders in which etcd may be unpacked already, the preferred one first. */
export const unpackedEtcds = (series: EtcdSeries | undefined): Promise<string[]> =>
  Promise.all((series === undefined ? ['newest', OWN] : [series]).map(debianFolder));

/**
 * Fetches `etcd` and `etcdctl`. Without a series, it fetches the newest version that Debian has. If that version cannot be
 * fetched, or does not run here, it fetches the version of this machine's release.
 *
 * @returns the folder.
 * @throws {Error} if it can fetch neither.
 */
export async function fetchEtcd(series: EtcdSeries | undefined, signal?: AbortSignal): Promise<string> {
  if (series !== undefined) return await fetchFromDebian({ ...etcdOf(series), signal });
  try {
    return await fetchFromDebian({ ...etcdOf('newest'), signal, withinMs: NEWEST_WITHIN_MS });
  } catch (error) {
    signal?.throwIfAborted();
    return await fetchFromDebian({ ...etcdOf(undefined), signal }).catch((own: Error) => {
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
