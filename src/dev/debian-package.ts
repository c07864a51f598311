import { execFile } from 'node:child_process';
import { access, mkdir, mkdtemp, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';

/** Minor versions of etcd that a Debian release has. */
export type EtcdSeries = '3.4' | '3.5';

const releases: Record<EtcdSeries, string> = { '3.4': 'bookworm', '3.5': 'trixie' };

const packages = ['etcd-server', 'etcd-client'];
const APT_TIMEOUT_MS = 120_000;

/** Where the programs of a series are unpacked: `.etcd/<series>`, or `.etcd/debian` for this machine's own release. */
export async function debianFolder(series: EtcdSeries | undefined): Promise<string> {
  return join(await projectFolder(), '.etcd', series ?? 'debian');
}

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
  await mkdir(dirname(folder), { recursive: true });
  await writeFile(join(dirname(folder), '.gitignore'), '*\n');
  const work = await mkdtemp(join(dirname(folder), 'fetch-'));
  try {
    await download(work, series);
    const programs = await unpack(work);
    await rename(programs, folder).catch(async (error: NodeJS.ErrnoException) => {
      const wasFirst = error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST';
      if (wasFirst) throw error;
    });
    return folder;
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
  await mkdir(join(work, 'state/lists/partial'), { recursive: true });
  await mkdir(join(work, 'cache/archives/partial'), { recursive: true });
  await writeFile(join(work, 'status'), '');
  const settings: Record<string, string> = {
    'Dir::State': join(work, 'state'),
    'Dir::State::status': join(work, 'status'),
    'Dir::Cache': join(work, 'cache'),
    'Acquire::Languages': 'none',
  };
  if (series !== undefined) {
    const source = `deb ${await mirror()} ${releases[series]} main\n`;
    await writeFile(join(work, 'sources.list'), source);
    settings['Dir::Etc::SourceList'] = join(work, 'sources.list');
    settings['Dir::Etc::SourceParts'] = '/dev/null';
  }
  return Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
}

/** The archive that this machine's own release comes from; it has the other releases too. */
async function mirror(): Promise<string> {
  const codename = /^VERSION_CODENAME="?([\w-]+)/m.exec(await readFile('/etc/os-release', 'utf8'))?.[1];
  const format = '$(RELEASE)|$(COMPONENT)|$(REPO_URI)';
  const targets = await apt('/', ['indextargets', '--format', format, 'Created-By: Packages']);
  for (const target of targets.split('\n')) {
    const [release, component, uri] = target.split('|');
    if (uri && release === codename && component === 'main') return uri;
  }
  throw new Error(`apt has no source for the release ${codename} of this machine`);
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
  const options = { cwd, timeout: APT_TIMEOUT_MS, maxBuffer: 16 * 1024 * 1024 };
  return (await promisify(execFile)(program, args, options)).stdout;
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
