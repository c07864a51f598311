/**
 * Does what an operator does to etcd's data: takes a snapshot, wipes, restores. All members lose their data at
 * once.
 */
import { execFile } from 'node:child_process';
import { access, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import type { EtcdCluster } from 'etcd-election/dev';
import type { Credentials } from './auth.ts';
import { etcdBinary } from './etcd-binary.ts';

const LIMIT_MS = 30_000;

async function run(program: string, ...args: readonly string[]): Promise<string> {
  const env = { ...process.env, ETCDCTL_API: '3' };
  return (await promisify(execFile)(program, args, { timeout: LIMIT_MS, env })).stdout;
}

/** The program beside the `etcd` in use. `etcdutl` restores from 3.5 on, `etcdctl` before. */
const tool = async (name: 'etcdctl' | 'etcdutl', version?: string): Promise<string> => {
  return join(dirname(await etcdBinary(version?.startsWith('3.4.') === true ? '3.4' : undefined)), name);
};

const restorer = async (version?: string): Promise<string> => {
  const etcdutl = await tool('etcdutl', version);
  return await access(etcdutl).then(
    () => etcdutl,
    () => tool('etcdctl', version),
  );
};

/** Whether this version's restore can raise the revision, so that history does not go back. */
export async function canBumpRevision(): Promise<boolean> {
  return (await run(await restorer(), 'snapshot', 'restore', '--help')).includes('--bump-revision');
}

export class Backup implements AsyncDisposable {
  readonly #cluster: EtcdCluster;
  readonly #folder: string;
  readonly #login: Credentials | undefined;

  private constructor(cluster: EtcdCluster, folder: string, login: Credentials | undefined) {
    this.#cluster = cluster;
    this.#folder = folder;
    this.#login = login;
  }

  /**
   * Takes a snapshot of etcd's present data.
   * @param login if etcd requires one.
   */
  static async take(cluster: EtcdCluster, login?: Credentials): Promise<Backup> {
    const backup = new Backup(cluster, await mkdtemp(join(tmpdir(), 'etcd-election-backup-')), login);
    await etcdctl(cluster, login, 'snapshot', 'save', backup.#file);
    return backup;
  }

  get #file(): string {
    return join(this.#folder, 'snapshot');
  }

  /**
   * Replaces all data by the snapshot, and starts etcd on it.
   * @param flags of `snapshot restore`, for example `--bump-revision`.
   */
  async restore(...flags: readonly string[]): Promise<void> {
    const { members } = this.#cluster;
    const peers = await peerUrls(this.#cluster, this.#login);
    const initial = members.map(({ name }) => `${name}=${peers.get(name)}`).join(',');
    await lose(this.#cluster);
    const program = await restorer(this.#cluster.version);
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

/** Deletes all data, and starts etcd empty. */
export async function wipe(cluster: EtcdCluster): Promise<void> {
  await lose(cluster);
  await Promise.all(cluster.members.map((member) => member.start()));
}

async function lose({ members }: EtcdCluster): Promise<void> {
  await Promise.all(members.map((member) => member.kill()));
  await Promise.all(members.map(({ dataDir }) => rm(dataDir, { recursive: true, force: true })));
}

async function etcdctl(
  { endpoints, version }: EtcdCluster,
  login: Credentials | undefined,
  ...args: readonly string[]
): Promise<string> {
  const user = login === undefined ? [] : ['--user', `${login.username}:${login.password}`];
  return run(await tool('etcdctl', version), '--endpoints', endpoints[0]!, ...user, ...args);
}

async function peerUrls(
  cluster: EtcdCluster,
  login: Credentials | undefined,
): Promise<ReadonlyMap<string, string>> {
  const text = await etcdctl(cluster, login, 'member', 'list', '-w', 'json');
  const { members } = JSON.parse(text) as { members: { name: string; peerURLs: string[] }[] };
  return new Map(members.map(({ name, peerURLs }) => [name, peerURLs[0]!]));
}
