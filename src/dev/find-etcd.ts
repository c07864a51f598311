import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { type EtcdSeries, fetchEtcd, unpackedEtcds } from './etcd-packages.ts';

type Program = 'etcd' | 'etcdctl';

export interface FindEtcdOptions {
  /**
   * A minor version to test against. It is looked for in `.etcd/`, then fetched from the Debian release that has it. The
   * `PATH` is ignored. Default: the version on the `PATH`, else the newest version that Debian has, else the version of
   * this machine's own release.
   */
  series?: EtcdSeries | undefined;
}

/** There is no etcd on this machine, and none could be fetched. The message says how to get one. */
export class EtcdNotFoundError extends Error {
  override readonly name = 'EtcdNotFoundError';
  readonly code = 'ETCD_NOT_FOUND';

  /** @param tried the errors of all attempts to get one. */
  constructor(program: string, tried: readonly Error[]) {
    const ways =
      `Any of these helps: set ETCD_ENDPOINTS to an etcd that runs; put ${program} on the PATH ` +
      `(Debian: apt-get install etcd-server etcd-client; macOS: brew install etcd); start Docker, for the ` +
      `docker-compose.yml of this package.`;
    const failures = tried.map(({ message }) => `\n- ${message}`).join('');
    super(`no ${program} here. ${ways} Tried without success:${failures}`, {
      cause: new AggregateError(tried),
    });
  }
}

/**
 * Path of an `etcd` executable. It is taken from the `PATH`, else from `.etcd/` in the project folder. Else `apt-get`
 * downloads Debian's package, which is unpacked into `.etcd/`. The project folder is the current one, or the nearest one
 * above it with a `package.json`. Nothing is installed on the machine. Several processes may call this at once.
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

async function find(program: Program, { series }: FindEtcdOptions): Promise<string> {
  const here = await findHere(program, series);
  if (here !== undefined) return here;
  try {
    return join(await fetchEtcd(series), program);
  } catch (error) {
    throw new EtcdNotFoundError(program, [new Error(`Debian's package: ${String(error)}`, { cause: error })]);
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
