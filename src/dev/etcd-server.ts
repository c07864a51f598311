import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { checkNumber } from './check-number.ts';
import { type EtcdMember, EtcdStartError, MemberProcess } from './etcd-member.ts';
import { etcdPath } from './find-etcd.ts';
import { PeerNetwork } from './peer-network.ts';
import { type ReservedPort, reservePort } from './ports.ts';

export interface StartEtcdOptions {
  /** Number of members. Default: 1. With three, etcd survives the loss of one. */
  members?: 1 | 3 | undefined;
  /** Path of the `etcd` executable. Default: the path from {@link etcdPath}. */
  binary?: string | undefined;
  /**
   * Folder for the data, with a subfolder for every member. `stop()` keeps the folder. With three members the folder must
   * be empty, because old data names the old ports. Default: a temporary folder, which `stop()` removes.
   */
  dataDir?: string | undefined;
  /**
   * More flags for every member, for example `['--quota-backend-bytes=16777216']`. They override the flags that
   * `startEtcd()` sets. With `--cert-file` the endpoints are `https`. Default: none.
   */
  extraArgs?: readonly string[] | undefined;
  /**
   * Whether the traffic between members passes through this process. {@link EtcdMember.isolate} needs this. While this
   * process blocks its event loop, the traffic stops. Default: false.
   */
  peerNetwork?: boolean | undefined;
  /** How many of the last log lines of every member are kept, 1 to 1,000,000. Default: 200. */
  logLines?: number | undefined;
  /**
   * How long a member may take to be ready, in milliseconds, 1 to 86,400,000. Default: 30,000. A start normally takes
   * 700 ms.
   */
  startTimeoutMs?: number | undefined;
  /** Ends the search for an etcd, and the start. Then the call rejects with the signal's reason. Default: none. */
  signal?: AbortSignal | undefined;
}

/** A real etcd cluster on ports of 127.0.0.1. Its processes end with this process. */
export interface EtcdCluster extends AsyncDisposable {
  /** Client URLs, in the order of `members`. They stay the same over restarts. */
  readonly endpoints: string[];
  /** The version of the etcd binary, for example `3.4.23`. */
  readonly version: string;
  readonly members: readonly EtcdMember[];
  /** Kills all members at once, as a power cut does, and then starts them with the data they had. */
  restart(): Promise<void>;
  /**
   * Ends all members, even frozen ones. If the data folder is temporary, it is removed. `stop()` can be called again.
   *
   * @throws {Error} if a member has not ended 5 s after SIGKILL. Everything else has ended by then.
   */
  stop(): Promise<void>;
}

const PORT_ATTEMPTS = 3;

/**
 * Starts etcd and waits until it answers. The cluster keeps this process alive until `stop()` is called. If this process
 * ends or is killed, the cluster ends too.
 *
 * ```ts
 * const etcd = await startEtcd();
 * const client = new Etcd3({ hosts: etcd.endpoints });
 * // …
 * await etcd.stop();
 * ```
 *
 * @throws {RangeError} if an option is out of range.
 * @throws {EtcdNotFoundError} if there is no etcd here and none can be fetched.
 * @throws {EtcdStartError} if etcd exits, or is not ready in time. The message ends with etcd's log.
 * @throws {Error} if three members get a `dataDir` that is not empty.
 */
export async function startEtcd(options: StartEtcdOptions = {}): Promise<EtcdCluster> {
  checkOptions(options);
  const { signal } = options;
  const binary = options.binary ?? (await etcdPath({ signal }));
  const version = await versionOf(binary);
  for (let attempt = 1; ; attempt++) {
    signal?.throwIfAborted();
    const folder = await openFolder(options);
    let cluster: Cluster | undefined;
    const stop = (): void => void cluster?.stop().catch(() => {});
    signal?.addEventListener('abort', stop);
    try {
      cluster = await createCluster({ ...options, binary }, version, folder);
      signal?.throwIfAborted();
      await cluster.start();
      signal?.throwIfAborted();
      return cluster;
    } catch (error) {
      await cluster?.stop().catch(() => {}); // the failed start is the error to report
      await discard(folder);
      signal?.throwIfAborted();
      const portTaken = error instanceof EtcdStartError && error.log.includes('address already in use');
      if (!portTaken || attempt === PORT_ATTEMPTS) throw error;
    } finally {
      signal?.removeEventListener('abort', stop);
    }
  }
}

function checkOptions({ members = 1, logLines = 200, startTimeoutMs = 30_000 }: StartEtcdOptions): void {
  if (members !== 1 && members !== 3)
    throw new RangeError(`members: expected 1 or 3, got ${String(members)}`);
  checkNumber('logLines', logLines, 1, 1_000_000);
  checkNumber('startTimeoutMs', startTimeoutMs, 1, 86_400_000);
}

class Cluster implements EtcdCluster {
  readonly endpoints: string[];
  readonly version: string;
  readonly members: readonly EtcdMember[];
  readonly #temporaryDir: string | undefined;
  readonly #site: Site;

  constructor(version: string, members: readonly EtcdMember[], temporaryDir: string | undefined, site: Site) {
    this.endpoints = members.map((member) => member.endpoint);
    this.version = version;
    this.members = members;
    this.#temporaryDir = temporaryDir;
    this.#site = site;
  }

  async start(): Promise<void> {
    await Promise.all(this.members.map((member) => member.start()));
  }

  async restart(): Promise<void> {
    // Kills, because after SIGTERM etcd's leader would try for seconds to hand over to members that end too.
    await Promise.all(this.members.map((member) => member.kill()));
    await this.start();
  }

  async stop(): Promise<void> {
    const isTemporary = this.#temporaryDir !== undefined;
    // Only data that is kept needs a clean shutdown.
    const ends = this.members.map((member) => (isTemporary ? member.kill() : member.stop()));
    const results = await Promise.allSettled(ends);
    this.#site.close();
    if (isTemporary) await rm(this.#temporaryDir, { recursive: true, force: true, maxRetries: 3 });
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

async function createCluster(
  options: StartEtcdOptions & { readonly binary: string },
  version: string,
  { path, isTemporary }: DataFolder,
): Promise<Cluster> {
  const { binary, extraArgs = [], logLines = 200, startTimeoutMs = 30_000 } = options;
  const temporaryDir = isTemporary ? path : undefined;
  const scheme = extraArgs.some((arg) => /^--?cert-file(=|$)/.test(arg)) ? 'https' : 'http';
  const peerNetwork = options.peerNetwork === true ? new PeerNetwork() : undefined;
  const site = new Site(scheme, path, peerNetwork);
  const plans: MemberPlan[] = [];
  try {
    for (let number = 1; number <= (options.members ?? 1); number++)
      plans.push(await planMember(memberName(number), site));
  } catch (error) {
    site.close(); // no port was free, but earlier members have ports and servers
    throw error;
  }
  const initialCluster = plans.map(({ name, peerUrl }) => `${name}=${peerUrl}`).join(',');
  const common = { binary, logLines, startTimeoutMs, temporaryDir, peerNetwork };
  const members = plans.map((plan) => {
    const { name, clientUrl: endpoint, dataDir, peerEnv } = plan;
    const args = [...flagsOf(plan, initialCluster), ...extraArgs];
    return new MemberProcess({ ...common, name, endpoint, dataDir, args, peerEnv });
  });
  return new Cluster(version, members, temporaryDir, site);
}

const memberName = (number: number): string => `etcd${number}`;

interface MemberPlan {
  readonly name: string;
  readonly clientUrl: string;
  readonly listenPeerUrl: string;
  readonly peerUrl: string;
  readonly peerEnv: NodeJS.ProcessEnv;
  readonly dataDir: string;
}

/** What the members of a cluster share. */
class Site {
  readonly scheme: string;
  /** The data folder of the cluster. */
  readonly path: string;
  readonly peerNetwork: PeerNetwork | undefined;
  /** The ports of all members. They stay reserved while a member is stopped. */
  readonly #ports: ReservedPort[] = [];

  constructor(scheme: string, path: string, peerNetwork: PeerNetwork | undefined) {
    this.scheme = scheme;
    this.path = path;
    this.peerNetwork = peerNetwork;
  }

  async reservePort(): Promise<number> {
    const reservation = await reservePort();
    this.#ports.push(reservation);
    return reservation.port;
  }

  close(): void {
    this.peerNetwork?.close();
    for (const port of this.#ports) port.release();
  }
}

async function planMember(name: string, site: Site): Promise<MemberPlan> {
  const clientUrl = `${site.scheme}://127.0.0.1:${await site.reservePort()}`;
  const peerPort = await site.reservePort();
  const listenPeerUrl = `http://127.0.0.1:${peerPort}`;
  const { peerUrl = listenPeerUrl, env = {} } = (await site.peerNetwork?.join(name, peerPort)) ?? {};
  return { name, clientUrl, listenPeerUrl, peerUrl, peerEnv: env, dataDir: join(site.path, name) };
}

/** Does not set `--election-timeout`, because the shortest lease that etcd grants depends on it. */
function flagsOf(
  { name, clientUrl, listenPeerUrl, peerUrl, dataDir }: MemberPlan,
  initialCluster: string,
): string[] {
  return [
    `--name=${name}`,
    `--data-dir=${dataDir}`,
    `--listen-client-urls=${clientUrl}`,
    `--advertise-client-urls=${clientUrl}`,
    `--listen-peer-urls=${listenPeerUrl}`,
    `--initial-advertise-peer-urls=${peerUrl}`,
    `--initial-cluster=${initialCluster}`,
  ];
}

interface DataFolder {
  readonly path: string;
  readonly isTemporary: boolean;
  readonly wasEmpty: boolean;
}

async function openFolder({ dataDir, members }: StartEtcdOptions): Promise<DataFolder> {
  if (dataDir === undefined)
    return { path: await mkdtemp(join(tmpdir(), 'etcd-election-')), isTemporary: true, wasEmpty: true };
  await mkdir(dataDir, { recursive: true });
  const wasEmpty = (await readdir(dataDir)).length === 0;
  if (members === 3 && !wasEmpty) {
    throw new Error(
      `${dataDir} is not empty. Its data names the ports of an earlier cluster, and this cluster gets new ones. Give an empty folder`,
    );
  }
  return { path: dataDir, isTemporary: false, wasEmpty };
}

/** Removes what a failed start has left in the folder. */
async function discard({ path, isTemporary, wasEmpty }: DataFolder): Promise<void> {
  if (!wasEmpty) return;
  const left = isTemporary ? [path] : [1, 2, 3].map((number) => join(path, memberName(number)));
  await Promise.all(left.map((entry) => rm(entry, { recursive: true, force: true, maxRetries: 3 })));
}

async function versionOf(binary: string): Promise<string> {
  const { stdout } = await promisify(execFile)(binary, ['--version'], { timeout: 10_000 });
  const version = /etcd Version: (\S+)/.exec(stdout)?.[1];
  if (version === undefined)
    throw new Error(`${binary} --version does not look like etcd: ${stdout.slice(0, 200)}`);
  return version;
}
