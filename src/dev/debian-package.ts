import { execFile } from 'node:child_process';
import { access, mkdir, mkdtemp, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';

const APT_TIMEOUT_MS = 120_000;

export interface DebianPrograms {
  /** Names of packages; their programs come into one folder. */
  readonly packages: readonly string[];
  /** Of this folder below `.etcd/`, which git ignores. */
  readonly folder: string;
  /** Name of a Debian release, such as `sid`. Default: this machine's own. */
  readonly release?: string | undefined;
  /** A look at what was unpacked, before it is taken: it throws if that does not run here. Default: none. */
  readonly check?: (folder: string) => Promise<void>;
  /** Ends the attempt. Default: each call of apt ends after two minutes. */
  readonly signal?: AbortSignal | undefined;
}

/** Where programs from Debian are unpacked: `.etcd/<name>` of the project. */
export async function debianFolder(name: string): Promise<string> {
  return join(await projectFolder(), '.etcd', name);
}

const underWay = new Map<string, Promise<void>>();

/**
 * Downloads packages of Debian and unpacks their programs into {@link debianFolder}. Nothing is installed, and apt's own
 * lists stay as they are: where they do not suffice, apt works on lists in a temporary folder. So this needs no root.
 * Another process may do the same at the same time: the first one's result is taken by all.
 *
 * @returns the folder.
 * @throws {Error} if this is no Debian or a relative, if its package archive does not answer, or if the check fails.
 */
export async function fetchFromDebian(programs: DebianPrograms): Promise<string> {
  const folder = await debianFolder(programs.folder);
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
    await download(work, programs);
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

async function download(work: string, { packages, release, signal }: DebianPrograms): Promise<void> {
  const apt: Apt = (args) => runApt(work, args, signal);
  if (release === undefined) {
    const hasLists = await apt(['download', ...packages]).then(
      () => true,
      () => false, // a machine without package lists
    );
    if (hasLists) return;
  }
  const lists = await privateLists(work, release, apt);
  const updated = await apt([...lists, 'update']).catch((error: Error) => error);
  // One of the machine's sources may be out of order while the one we need is not: so the download decides.
  await apt([...lists, 'download', ...packages]).catch((error: Error) => {
    throw updated instanceof Error
      ? new AggregateError([updated, error], `${updated.message}\n${error.message}`)
      : error;
  });
}

type Apt = (args: readonly string[]) => Promise<string>;

/** Options for apt to work on lists of its own, for this machine's sources or for those of another release. */
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

/** Where this machine's own release comes from; the other releases are there too. */
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

/** Unpacks every package in a folder; returns the folder of their programs. */
async function unpack(work: string): Promise<string> {
  const files = (await readdir(work)).filter((file) => file.endsWith('.deb'));
  for (const file of files) await run('dpkg-deb', ['-x', join(work, file), join(work, 'root')], work);
  return join(work, 'root/usr/bin');
}

function runApt(cwd: string, args: readonly string[], signal?: AbortSignal): Promise<string> {
  // apt would drop to a user who may not write into our folder, and warn about it.
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
