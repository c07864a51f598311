import { execFile } from 'node:child_process';
import { access, mkdir, mkdtemp, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { untilAny } from '../util/abort.ts';

const APT_TIMEOUT_MS = 120_000;

export interface DebianPrograms {
  /** Names of the packages. Their programs are unpacked into one folder. */
  readonly packages: readonly string[];
  /** Name of that folder below `.etcd/`, which git ignores. */
  readonly folder: string;
  /** Name of a Debian release, such as `sid`. Default: the release of this machine. */
  readonly release?: string | undefined;
  /** Throws if the unpacked programs do not run here. Default: no check. */
  readonly check?: (folder: string) => Promise<void>;
  /** Time limit of the download, in milliseconds. Default: none, but every call of apt ends after two minutes. */
  readonly withinMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The folder for programs from Debian: `.etcd/<name>` in the project. */
export async function debianFolder(name: string): Promise<string> {
  return join(await projectFolder(), '.etcd', name);
}

const underWay = new Map<string, Promise<void>>();

/**
 * Downloads packages of Debian and unpacks their programs into {@link debianFolder}. This needs no root, and installs
 * nothing. The package lists of apt stay as they are.
 *
 * Several processes may call this at once: all use the first result. Calls in one process share one attempt, except calls
 * with a signal.
 *
 * @returns the folder.
 * @throws {Error} if this system is not based on Debian, the package archive does not answer, or `check` throws.
 */
export async function fetchFromDebian(programs: DebianPrograms): Promise<string> {
  const folder = await debianFolder(programs.folder);
  if (programs.signal !== undefined) {
    await fetchInto(folder, programs);
    return folder;
  }
  const fetching = underWay.get(folder) ?? fetchInto(folder, programs).finally(() => underWay.delete(folder));
  underWay.set(folder, fetching);
  await fetching;
  return folder;
}

async function fetchInto(folder: string, programs: DebianPrograms): Promise<void> {
  await mkdir(dirname(folder), { recursive: true });
  await writeFile(join(dirname(folder), '.gitignore'), '*\n');
  const work = await mkdtemp(join(dirname(folder), 'fetch-'));
  try {
    await downloadInTime(work, programs);
    const unpacked = await unpack(work);
    await programs.check?.(unpacked);
    await rename(unpacked, folder).catch((error: NodeJS.ErrnoException) => {
      const otherWasFirst = error.code === 'ENOTEMPTY' || error.code === 'EEXIST';
      if (!otherWasFirst) throw error;
    });
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function downloadInTime(work: string, programs: DebianPrograms): Promise<void> {
  const limit = programs.withinMs === undefined ? undefined : AbortSignal.timeout(programs.withinMs);
  const limits = [limit, programs.signal].filter((signal) => signal !== undefined);
  await untilAny(limits, (signal) => download(work, programs, signal));
}

async function download(
  work: string,
  { packages, release }: DebianPrograms,
  signal: AbortSignal,
): Promise<void> {
  const apt: Apt = (args) => runApt(work, args, signal);
  if (release === undefined) {
    const hasLists = await apt(['download', ...packages]).then(
      () => true,
      () => false, // this machine's package lists are probably missing or too old: fetch lists to a temporary folder
    );
    signal.throwIfAborted();
    if (hasLists) return;
  }
  const lists = await privateLists(work, release, apt);
  const updated = await apt([...lists, 'update']).catch((error: Error) => error);
  // One broken source of this machine makes the update fail. The source we need may still work, so we try the download.
  await apt([...lists, 'download', ...packages]).catch((error: Error) => {
    throw updated instanceof Error
      ? new AggregateError([updated, error], `${updated.message}\n${error.message}`)
      : error;
  });
}

type Apt = (args: readonly string[]) => Promise<string>;

/** Options that let apt keep its package lists in the folder `work`. */
async function privateLists(work: string, release: string | undefined, apt: Apt): Promise<string[]> {
  await mkdir(join(work, 'lists/partial'), { recursive: true });
  await mkdir(join(work, 'cache/archives/partial'), { recursive: true });
  await writeFile(join(work, 'status'), '');
  const lists = options({
    'Dir::State': work,
    'Dir::State::lists': join(work, 'lists'),
    'Dir::State::status': join(work, 'status'),
    'Dir::Cache': join(work, 'cache'),
    'Acquire::Languages': 'none',
  });
  if (release === undefined) return lists;
  const source = join(work, 'sources.list');
  await writeFile(source, `deb ${await archive(lists, apt)} ${release} main\n`);
  return [...lists, ...options({ 'Dir::Etc::SourceList': source, 'Dir::Etc::SourceParts': '/dev/null' })];
}

/** The address of the archive that this machine uses. The archive has the other releases too. */
async function archive(lists: readonly string[], apt: Apt): Promise<string> {
  const codename = /^VERSION_CODENAME="?([\w-]+)/m.exec(await readFile('/etc/os-release', 'utf8'))?.[1];
  const uris = await apt([...lists, '--print-uris', 'update']);
  const uri = new RegExp(`^'(.+)/dists/${codename}/InRelease'`, 'm').exec(uris)?.[1];
  if (uri === undefined) throw new Error(`apt has no source for the release ${codename} of this machine`);
  return uri;
}

function options(settings: Record<string, string>): string[] {
  return Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
}

/** @returns the folder with the programs of all packages. */
async function unpack(work: string): Promise<string> {
  const files = (await readdir(work)).filter((file) => file.endsWith('.deb'));
  for (const file of files) await run('dpkg-deb', ['-x', join(work, file), join(work, 'root')], work);
  return join(work, 'root/usr/bin');
}

function runApt(cwd: string, args: readonly string[], signal: AbortSignal): Promise<string> {
  // By default apt downloads as a user that may not write into our folder, and it warns about that.
  return run('apt-get', ['-q', '-o', 'APT::Sandbox::User=root', ...args], cwd, signal);
}

async function run(
  program: string,
  args: readonly string[],
  cwd: string,
  signal?: AbortSignal,
): Promise<string> {
  const limits = { timeout: APT_TIMEOUT_MS, maxBuffer: 16 * 1024 * 1024, ...(signal && { signal }) };
  return (await promisify(execFile)(program, args, { cwd, ...limits })).stdout;
}

async function projectFolder(): Promise<string> {
  const start = resolve('.');
  for (let folder = start; ; folder = dirname(folder)) {
    const found = await access(join(folder, 'package.json')).then(
      () => true,
      () => false,
    );
    if (found) return folder;
    if (folder === dirname(folder)) return start;
  }
}
