import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { type EtcdSeries, debianFolder, fetchFromDebian } from './debian-package.ts';

export interface FindEtcdOptions {
  /**
   * A minor version, to test against. It is looked for in `.etcd/`, then taken from the Debian release that has it; what
   * is on the `PATH` is not asked. Default: whatever is on the `PATH`, else what this machine's own release has.
   */
  series?: EtcdSeries | undefined;
}

/** There is no etcd on this machine, and none could be fetched. The message says how to get one. */
export class EtcdNotFoundError extends Error {
  override readonly name = 'EtcdNotFoundError';
  readonly code = 'ETCD_NOT_FOUND';

  constructor(program: string, options?: ErrorOptions) {
    const why =
      options?.cause instanceof Error ? `\nFetching it from Debian failed: ${options.cause.message}` : '';
    super(
      `no ${program} here. Any of these helps: set ETCD_ENDPOINTS to an etcd that runs; put ${program} on the PATH ` +
        `(Debian: apt-get install etcd-server etcd-client; macOS: brew install etcd); start Docker, for the ` +
        `docker-compose.yml of this package.${why}`,
      options,
    );
  }
}

/**
 * Path of an `etcd` executable: on the `PATH`; else in `.etcd/` of the project folder (the nearest one, from the current
 * folder upwards, with a `package.json`); else from Debian's package, downloaded by `apt-get` and unpacked into `.etcd/`.
 * Nothing is installed on the machine. Several processes may ask at once.
 *
 * @throws {EtcdNotFoundError} if none of these gives one.
 */
export function etcdPath(options: FindEtcdOptions = {}): Promise<string> {
  return find('etcd', options);
}

/**
 * Path of an `etcdctl` executable, found in the way of {@link etcdPath}.
 *
 * @throws {EtcdNotFoundError} if there is none and none can be fetched.
 */
export function etcdctlPath(options: FindEtcdOptions = {}): Promise<string> {
  return find('etcdctl', options);
}

async function find(program: 'etcd' | 'etcdctl', { series }: FindEtcdOptions): Promise<string> {
  const onPath = series === undefined ? await findOnPath(program) : undefined;
  if (onPath !== undefined) return onPath;
  const fetched = join(await debianFolder(series), program);
  if (await isExecutable(fetched)) return fetched;
  try {
    return join(await fetchFromDebian(series), program);
  } catch (cause) {
    throw new EtcdNotFoundError(series === undefined ? program : `${program} ${series}`, { cause });
  }
}

async function findOnPath(program: string): Promise<string | undefined> {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    const path = join(folder, program);
    if (folder !== '' && (await isExecutable(path))) return path;
  }
  return undefined;
}

async function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}
