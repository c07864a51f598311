import { execFile } from 'node:child_process';
import { access, mkdir, mkdtemp, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';

/** Minor versions of etcd that a Debian release has; `newest` is what its unstable one has. */
export type EtcdSeries = '3.4' | '3.5' | 'newest';

const releases: Record<EtcdSeries, string> = { '3.4': 'bookworm', '3.5': 'trixie', newest: 'sid' };

const packages = ['etcd-server', 'etcd-client'];
const APT_TIMEOUT_MS = 120_000;

/** Where the programs of a series are unpacked: `.etcd/<series>`, or `.etcd/debian` for this machine's own release. */
export async function debianFolder(series: EtcdSeries | undefined): Promise<string> {
  return join(await projectFolder(), '.etcd', series ?? 'debian');
}

const underWay = new Map<string, Promise<void>>();

/**
 * Downloads Debian's etcd-server and etcd-client and unpacks `etcd` and `etcdctl` into {@link debianFolder}. Nothing is
 * installed, and apt's own lists stay as they are: where they do not suffice, apt works on lists in a temporary folder. So
 * this needs no root. Another process may do the same at the same time: the first one's result is taken by all.
 *
 * @returns the folder.
 * @throws {Error} if this is no Debian or a relative, or its package archive does not answer.
 */
export async function fetchFromDebian(series: EtcdSeries | undefined): Promise<string> {
  const folder = await debianFolder(series);
  const fetching = underWay.get(folder) ?? fetchInto(folder, series).finally(() => underWay.delete(folder));
  underWay.set(folder, fetching);
  await fetching;
  return folder;
}

async function fetchInto(folder: string, series: EtcdSeries | undefined): Promise<void> {
  await mkdir(dirname(folder), { recursive: true });
  await writeFile(join(dirname(folder), '.gitignore'), '*\n');
  const work = await mkdtemp(join(dirname(folder), 'fetch-'));
  try {
    await download(work, series);
    await rename(await unpack(work), folder).catch((error: NodeJS.ErrnoException) => {
      const otherWasFirst = error.code === 'ENOTEMPTY' || error.code === 'EEXIST';
      if (!otherWasFirst) throw error;
    });
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function download(work: string, series: EtcdSeries | undefined): Promise<void> {
  if (series === undefined) {
    const hasLists = await apt(work, ['download', ...packages]).then(
      () => true,
      () => false, // a machine on which nobody ran `apt-get update`
    );
    if (hasLists) return;
  }
  const lists = await privateLists(work, series);
  const updated = await apt(work, [...lists, 'update']).catch((error: Error) => error);
  // One of the machine's sources may be out of order while the one we need is not: so the download decides.
  await apt(work, [...lists, 'download', ...packages]).catch((error: Error) => {
    throw updated instanceof Error
      ? new AggregateError([updated, error], `${updated.message}\n${error.message}`)
      : error;
  });
}

/** Options for apt to work on lists of its own, for this machine's sources or for those of the release that has a series. */
async function privateLists(work: string, series: EtcdSeries | undefined): Promise<string[]> {
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
  if (series === undefined) return lists;
  const source = join(work, 'sources.list');
  await writeFile(source, `deb ${await archive(work, lists)} ${releases[series]} main\n`);
  return [...lists, ...options({ 'Dir::Etc::SourceList': source, 'Dir::Etc::SourceParts': '/dev/null' })];
}

/** Where this machine's own release comes from; the other releases are there too. */
async function archive(work: string, lists: string[]): Promise<string> {
  const codename = /^VERSION_CODENAME="?([\w-]+)/m.exec(await readFile('/etc/os-release', 'utf8'))?.[1];
  const uris = await apt(work, [...lists, '--print-uris', 'update']);
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

function apt(cwd: string, args: string[]): Promise<string> {
  // apt would drop to a user who may not write into our folder, and warn about it.
  return run('apt-get', ['-q', '-o', 'APT::Sandbox::User=root', ...args], cwd);
}

async function run(program: string, args: string[], cwd: string): Promise<string> {
  const limits = { timeout: APT_TIMEOUT_MS, maxBuffer: 16 * 1024 * 1024 };
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
