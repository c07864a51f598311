/**
 * Decides which etcd cluster is ours. Only answers of our cluster count. Otherwise two candidates could lead, one in
 * each cluster, with the same fencing token.
 */
import { voteOf, type Pin } from '../core/cluster-vote.ts';
import { clock } from '../util/clock.ts';

/**
 * How long our cluster must be silent before another one can replace it, in milliseconds. Applies if a majority has
 * reported ours.
 */
const QUIET_MS = 3_000;

/**
 * How long our cluster must be silent before the old answers of its hosts no longer count, in milliseconds. This is
 * enough time for three probes of each host.
 */
const FORGOTTEN_MS = 15_000;

export type ClusterEvent<Host> =
  | {
      readonly type: 'foreign';
      readonly host: Host;
      readonly clusterId: string;
      readonly ours: string | undefined;
    }
  | { readonly type: 'moved'; readonly from: string; readonly to: string };

export class Cluster<Host> {
  readonly #hosts: readonly Host[];
  readonly #tell: (event: ClusterEvent<Host>) => void;
  readonly #said = new Map<Host, string>();
  readonly #told = new Map<Host, string>();
  /** Hosts whose answers carry no cluster ID. Proxies may leave it out. */
  readonly #without = new Set<Host>();
  #pin: Pin | undefined;
  #oursAtMs = 0;
  #isRollCall = false;

  constructor(hosts: readonly Host[], tell: (event: ClusterEvent<Host>) => void) {
    this.#hosts = hosts;
    this.#tell = tell;
  }

  /** Cluster ID in decimal; undefined before the first decision. A decision can be replaced, but not withdrawn. */
  get id(): string | undefined {
    return this.#pin?.clusterId;
  }

  /** Whether more than half of the configured hosts have reported this cluster. */
  get isCertain(): boolean {
    return this.#pin?.isByMajority === true;
  }

  /** Whether the host has named another cluster than ours. While ours is undecided, every named cluster counts as another. */
  isForeign(host: Host): boolean {
    const said = this.#said.get(host);
    return said !== undefined && said !== this.#pin?.clusterId;
  }

  /** Why a foreign host does not count, for an error message. */
  complaintOf(host: Host, address: string): string {
    const said = this.#said.get(host) ?? 'unknown';
    return this.id === undefined
      ? `${address} belongs to cluster ${said}, others do not, and no cluster has the majority of the configured hosts`
      : `${address} belongs to another etcd cluster (${said}; ours is ${this.id}); its answers do not count`;
  }

  /** The error message if no host belongs to our cluster. */
  get complaint(): string {
    const ids = [...new Set(this.#said.values())].join(', ');
    return this.id === undefined
      ? `the configured hosts belong to different etcd clusters (${ids}), and none has the majority`
      : `every configured host belongs to another etcd cluster (${ids}; ours is ${this.id})`;
  }

  isKnown(host: Host): boolean {
    return this.#said.has(host) || this.#without.has(host);
  }

  /** Whether the last answer of some host carried no cluster ID. */
  get hasAnonymous(): boolean {
    return this.#without.size > 0;
  }

  /** Records the cluster ID of an answer. @returns whether the answer counts. */
  heard(host: Host, clusterId: string | undefined): boolean {
    if (clusterId === undefined || clusterId === '0') {
      this.#without.add(host);
      return true;
    }
    this.#without.delete(host);
    this.#said.set(host, clusterId);
    if (clusterId === this.id) this.#oursAtMs = clock.now();
    this.#decide();
    return clusterId === this.id;
  }

  /** A roll call (see probes.ts) begins or ends. During a roll call, only a majority decides. */
  rollCall(isRollCall: boolean): void {
    this.#isRollCall = isRollCall;
    this.#decide();
  }

  #decide(): void {
    const before = this.#pin;
    const quietMs = clock.now() - this.#oursAtMs;
    if (quietMs >= FORGOTTEN_MS) this.#forget(before?.clusterId);
    const said = this.#hosts.map((host) => this.#said.get(host));
    this.#pin = voteOf(said, before, { isRollCall: this.#isRollCall, isQuiet: quietMs >= QUIET_MS });
    if (before?.clusterId !== this.#pin?.clusterId) this.#oursAtMs = clock.now();
    if (before !== undefined && this.#pin !== undefined && before.clusterId !== this.#pin.clusterId)
      this.#tell({ type: 'moved', from: before.clusterId, to: this.#pin.clusterId });
    if (this.#pin !== undefined || !this.#isRollCall) for (const host of this.#hosts) this.#tellOnce(host);
  }

  /**
   * Forgets what the hosts of this cluster said. Otherwise the old answer of a host that is gone for good would block the
   * change to a rebuilt cluster.
   */
  #forget(clusterId: string | undefined): void {
    for (const [host, said] of this.#said) if (said === clusterId) this.#said.delete(host);
  }

  #tellOnce(host: Host): void {
    const clusterId = this.#said.get(host);
    if (clusterId === undefined || !this.isForeign(host)) this.#told.delete(host);
    else if (this.#told.get(host) !== clusterId) {
      this.#told.set(host, clusterId);
      this.#tell({ type: 'foreign', host, clusterId, ours: this.id });
    }
  }
}
