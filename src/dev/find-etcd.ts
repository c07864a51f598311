import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { type EtcdSeries, fetchEtcd, unpackedEtcds } from './etcd-packages.ts';

type Program = 'etcd' | 'etcdctl';

export interface FindEtcdOptions {
  /**
   * A minor version to test against. The search looks in `.etcd/`, then in the Debian release that has this version. It
   * ignores the `PATH`. Default: the etcd on the `PATH`, else the etcd in `.etcd/`. If there is neither, the search
   * fetches the newest version that Debian has, else the version of this machine's release.
   */
  series?: EtcdSeries | undefined;
  /** Ends the search. Then the call rejects with the signal's reason. Default: none. */
  signal?: AbortSignal | undefined;
}

/** What to say if the program is missing. */
export const notHere = (program: Program): string =>
  `no ${program} here. Put it on the PATH (Debian: apt-get install etcd-server etcd-client; macOS: brew install etcd).`;

/** There is no etcd that can be used, and none could be fetched. The message says how to get one. */
export class EtcdNotFoundError extends Error {
  override readonly name = 'EtcdNotFoundError';
  readonly code = 'ETCD_NOT_FOUND';

  /**
   * @param problem what is missing, and what the user can do.
   * @param tried the errors of all attempts.
   */
  constructor(problem: string, tried: readonly Error[]) {
    const failures = tried.map(({ message }) => `\n- ${message}`).join('');
    super(`${problem} Tried without success:${failures}`, { cause: new AggregateError(tried) });
  }
}

/**
 * Path of an `etcd` executable: from the `PATH`, else from `.etcd/` in the project folder. If neither has etcd, `apt-get`
 * downloads Debian's package and etcd is unpacked into `.etcd/`. Nothing is installed on the machine. Several processes may
 * call this at once.
 *
 * The project folder is the nearest folder with a `package.json`, from the current folder upwards. Without a
 * `package.json`, it is the current folder.
 *
 * @throws {EtcdNotFoundError} if there is no etcd here and none can be fetched.
 */
export function etcdPath(options: FindEtcdOptions = {}): Promise<string> {
  return find('etcd', options);
}

/**
 * Path of an `etcdctl` executable, found in the same way as {@link etcdPath} finds `etcd`.
 *
 * @throws {EtcdNotFoundError} if there is none and none can be fetched.
 */
export function etcdctlPath(options: FindEtcdOptions = {}): Promise<string> {
  return find('etcdctl', options);
}

/** Path of a program on this machine. Fetches nothing. */
export async function findHere(program: Program, series?: EtcdSeries): Promise<string | undefined> {
  const onPath = series === undefined ? await findOnPath(program) : undefined;
  if (onPath !== undefined) return onPath;
  for (const folder of await unpackedEtcds(series))
    if (await isExecutable(join(folder, program))) return join(folder, program);
  return undefined;
}

async function find(program: Program, { series, signal }: FindEtcdOptions): Promise<string> {
  const here = await findHere(program, series);
  if (here !== undefined) return here;
  try {
    return join(await fetchEtcd(series, signal), program);
  } catch (error) {
    signal?.throwIfAborted();
    const tried = [new Error(`Debian's package: ${String(error)}`, { cause: error })];
    // This function needs a program. Only provideEtcd() can use ETCD_ENDPOINTS or Docker.
    const otherWays = 'Or call provideEtcd(), which also takes the etcd in ETCD_ENDPOINTS, or a container.';
    throw new EtcdNotFoundError(`${notHere(program)}${program === 'etcd' ? ` ${otherWays}` : ''}`, tried);
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
  try {
    await access(path, constants.X_OK);
    return (await stat(path)).isFile(); // X_OK also holds for a folder
  } catch {
    return false;
  }
}
