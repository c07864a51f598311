import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { type EtcdSeries, fetchEtcd, unpackedEtcds } from './etcd-packages.ts';

type Program = 'etcd' | 'etcdctl';

export interface FindEtcdOptions {
  /**
   * A minor version to test against. It is looked for in `.etcd/`, then fetched from the Debian release that has it. The
   * `PATH` is ignored. Default: the etcd on the `PATH`, else one in `.etcd/`, else the newest version that Debian has, else
   * the version of this machine's own release.
   */
  series?: EtcdSeries | undefined;
  /** Ends the search. Then the call rejects with the signal's reason. Default: none. */
  signal?: AbortSignal | undefined;
}

/** There is no etcd on this machine, and none could be fetched. The message says how to get one. */
export class EtcdNotFoundError extends Error {
  override readonly name = 'EtcdNotFoundError';
  readonly code = 'ETCD_NOT_FOUND';

  /**
   * @param tried the errors of all attempts to get one.
   * @param otherWays what the caller can do besides putting the program on the `PATH`.
   */
  constructor(program: string, tried: readonly Error[], otherWays: string) {
    const install = 'Debian: apt-get install etcd-server etcd-client; macOS: brew install etcd';
    const failures = tried.map(({ message }) => `\n- ${message}`).join('');
    super(
      `no ${program} here. Put it on the PATH (${install}). ${otherWays} Tried without success:${failures}`,
      {
        cause: new AggregateError(tried),
      },
    );
  }
}

/**
 * Path of an `etcd` executable. It is taken from the `PATH`, else from `.etcd/` in the project folder. Else `apt-get`
 * downloads Debian's package, which is unpacked into `.etcd/`. The project folder is the nearest one with a `package.json`, from
 * the current folder upwards; if there is none, the current one. Nothing is installed on the machine. Several processes may call
 * this at once.
 *
 * @throws {EtcdNotFoundError} if none of these gives one.
 */
export function etcdPath(options: FindEtcdOptions = {}): Promise<string> {
  return find('etcd', options);
}

/**
 * Path of an `etcdctl` executable, found in the same way as by {@link etcdPath}.
 *
 * @throws {EtcdNotFoundError} if there is none and none can be fetched.
 */
export function etcdctlPath(options: FindEtcdOptions = {}): Promise<string> {
  return find('etcdctl', options);
}

/** Path of a program that is here already. Nothing is fetched. */
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
    throw new EtcdNotFoundError(program, tried, otherWays);
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
    return (await stat(path)).isFile(); // X_OK also holds for a folder that may be entered
  } catch {
    return false;
  }
}
