/** What an operator does to etcd's data: takes a snapshot, wipes all, restores. Every member loses its data at once. */
import { execFile } from 'node:child_process';
import { access, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import type { EtcdCluster } from 'etcd-election/dev';
import { etcdBinary } from './lab.ts';

const LIMIT_MS = 30_000;

async function run(program: string, ...args: readonly string[]): Promise<string> {
  const env = { ...process.env, ETCDCTL_API: '3' };
  return (await promisify(execFile)(program, args, { timeout: LIMIT_MS, env })).stdout;
}

/** A program beside the `etcd` that tests run. `etcdutl` restores from 3.5 on, `etcdctl` before. */
const tool = async (name: 'etcdctl' | 'etcdutl'): Promise<string> => join(dirname(await etcdBinary()), name);

const restorer = async (): Promise<string> => {
  const etcdutl = await tool('etcdutl');
  return await access(etcdutl).then(
    () => etcdutl,
    () => tool('etcdctl'),
  );
};

/** Whether the restore at hand can raise the revision, so that history does not go back. */
export async function canBumpRevision(): Promise<boolean> {
  return (await run(await restorer(), 'snapshot', 'restore', '--help')).includes('--bump-revision');
}

export class Backup implements AsyncDisposable {
  readonly #cluster: EtcdCluster;
  readonly #folder: string;

  private constructor(cluster: EtcdCluster, folder: string) {
    this.#cluster = cluster;
    this.#folder = folder;
  }

  /** Takes a snapshot of what etcd has now. */
  static async take(cluster: EtcdCluster): Promise<Backup> {
    const backup = new Backup(cluster, await mkdtemp(join(tmpdir(), 'etcd-election-backup-')));
    await run(await tool('etcdctl'), '--endpoints', cluster.endpoints[0]!, 'snapshot', 'save', backup.#file);
    return backup;
  }

  get #file(): string {
    return join(this.#folder, 'snapshot');
  }

  /**
   * Replaces all data by the snapshot, and starts etcd on it.
   *
   * @param flags of `snapshot restore`, for example `--bump-revision`.
   */
  async restore(...flags: readonly string[]): Promise<void> {
    const { members } = this.#cluster;
    const peers = await peerUrls(this.#cluster);
    const initial = members.map(({ name }) => `${name}=${peers.get(name)}`).join(',');
    await lose(this.#cluster);
    const program = await restorer();
    for (const { name, dataDir } of members) {
      const own = ['--name', name, '--data-dir', dataDir, '--initial-advertise-peer-urls', peers.get(name)!];
      await run(program, 'snapshot', 'restore', this.#file, ...own, '--initial-cluster', initial, ...flags);
    }
    await Promise.all(members.map((member) => member.start()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true });
  }
}

/** Takes all data away, and starts etcd empty. */
export async function wipe(cluster: EtcdCluster): Promise<void> {
  await lose(cluster);
  await Promise.all(cluster.members.map((member) => member.start()));
}

async function lose({ members }: EtcdCluster): Promise<void> {
  await Promise.all(members.map((member) => member.kill()));
  await Promise.all(members.map(({ dataDir }) => rm(dataDir, { recursive: true, force: true })));
}

async function peerUrls(cluster: EtcdCluster): Promise<ReadonlyMap<string, string>> {
  const text = await run(
    await tool('etcdctl'),
    '--endpoints',
    cluster.endpoints[0]!,
    'member',
    'list',
    '-w',
    'json',
  );
  const { members } = JSON.parse(text) as { members: { name: string; peerURLs: string[] }[] };
  return new Map(members.map(({ name, peerURLs }) => [name, peerURLs[0]!]));
}
