/**
 * The hosts of a client: which of them answer, and which belong to our cluster.
 */
import type { EventOf } from '../events.ts';
import { Cluster, type ClusterEvent } from './cluster.ts';
import {
  EtcdError,
  HAVE_CONSEQUENCES,
  isByEtcd,
  isNotConnected,
  isUnfit,
  type GrpcStatus,
} from './etcd-error.ts';
import type { Host, HostClient } from './host.ts';
import { clock } from '../util/clock.ts';
import { HostSelector, type Wishes } from './host-selector.ts';
import { limited, type TimeLimits } from './limited.ts';
import { Probes, type AskHost } from './probes.ts';

export type HostEvent = EventOf<'host.away' | 'host.back' | 'host.foreign' | 'cluster.changed'>;

export interface HostCause {
  readonly host: string;
  readonly reason: string;
}

/** How many hosts an event names. More hosts are rare: etcd recommends at most seven members. */
const MOST_HOSTS = 8;
/** Longest reason in an event, in characters. */
const LONGEST_REASON = 120;

const shortened = (reason: string): string =>
  reason.length > LONGEST_REASON ? `${reason.slice(0, LONGEST_REASON - 1)}…` : reason;

/** An address for log lines, without a password. */
export const shownAddress = (address: string): string => address.replace(/\/\/[^@/]*@/, '//');

/** How long a host may take to report its cluster before we believe its error, in milliseconds. */
const IDENTIFY_WITHIN_MS = 1_000;

export class Members {
  readonly hosts: readonly Host[];
  readonly selector: HostSelector<Host>;
  readonly #cluster: Cluster<Host>;
  readonly #probes: Probes<Host>;
  readonly #identify: AskHost<Host>;
  readonly #tell: (event: HostEvent) => void;
  /** A connection that is older than this moment, and on which nothing has come since, is probably lost. */
  #lostAtMs = Number.NEGATIVE_INFINITY;

  /** @param ask see probes.ts. */
  constructor(
    hosts: readonly Host[],
    ask: { readonly identify: AskHost<Host>; readonly prove: AskHost<Host> },
    tell: (event: HostEvent) => void,
  ) {
    this.hosts = hosts;
    this.#identify = ask.identify;
    this.#tell = tell;
    this.selector = new HostSelector(hosts, {
      away: ({ address }, reason) => this.#tellOfHost({ type: 'host.away', host: address, reason }),
      back: ({ address }, afterMs) => this.#tellOfHost({ type: 'host.back', host: address, afterMs }),
    });
    this.#cluster = new Cluster(hosts, (event) => this.#clusterTold(event));
    this.#probes = new Probes({
      hosts,
      isCertain: () => this.#cluster.isCertain,
      onRollCall: (isRollCall) => this.#cluster.rollCall(isRollCall),
      isDoubtful: (host) => this.selector.isSuspect(host) || !this.isOurs(host),
      identify: ask.identify,
      prove: async (host, withinMs, signal) => {
        await ask.prove(host, withinMs, signal);
        if (this.isOurs(host)) this.selector.answered(host);
      },
    });
  }

  get clusterId(): string | undefined {
    return this.#cluster.id;
  }

  /**
   * Chooses the host for a call.
   *
   * @returns undefined if `except` contains all hosts of our cluster.
   * @throws {EtcdError} if no host belongs to our cluster.
   */
  async choose(what: string, limits: TimeLimits, { avoid, except }: Wishes<Host>): Promise<Host | undefined> {
    if (this.hosts.length > 1 && !this.hosts[0]!.isBorrowed) {
      const isUnknown = this.hosts.some((host) => !this.#cluster.isKnown(host));
      // Behind a proxy that leaves out the cluster ID, another roll call would learn nothing.
      const isWorthCalling = this.clusterId === undefined && isUnknown && !this.#cluster.hasAnonymous;
      if (isWorthCalling) await limited(what, this.#probes.rollCall(), limits);
      else this.#probes.probe();
    }
    if (this.#foreign.size === this.hosts.length) await limited(what, this.#probes.rollCall(), limits);
    const foreign = this.#foreign;
    if (foreign.size === this.hosts.length)
      throw new EtcdError('unavailable', `${what}: ${this.#cluster.complaint}`, false);
    return this.selector.pick({ avoid, except: new Set([...foreign, ...(except ?? [])]) });
  }

  get #foreign(): ReadonlySet<Host> {
    return new Set(this.hosts.filter((host) => this.#cluster.isForeign(host)));
  }

  /** Why hosts do not serve us, for an event. Undefined for a single host, whose failed calls say it themselves. */
  get causes(): readonly HostCause[] | undefined {
    if (this.hosts.length === 1) return undefined;
    return this.hosts
      .flatMap((host) => {
        const isForeign = this.#cluster.isForeign(host);
        const reason = isForeign ? 'it belongs to another cluster' : this.selector.causeOf(host);
        return reason === undefined ? [] : [{ host: shownAddress(host.address), reason: shortened(reason) }];
      })
      .slice(0, MOST_HOSTS);
  }

  isOurs(host: Host): boolean {
    return this.#cluster.isKnown(host) && !this.#cluster.isForeign(host);
  }

  /**
   * Checks the cluster ID of every answer and stream message.
   *
   * @returns why the message does not count; undefined if it counts.
   */
  complaint(host: Host, message: unknown): string | undefined {
    const { header } = (message ?? {}) as { header?: { cluster_id?: string } | null };
    if (header === null) return `${host.address} answered without etcd's header, so it is not etcd`;
    const counts = this.#cluster.heard(host, header?.cluster_id);
    return counts ? undefined : this.#cluster.complaintOf(host, host.address);
  }

  /**
   * Checks that an error with consequences comes from our cluster. An error carries no cluster ID, so the host is
   * asked for it.
   *
   * @throws {EtcdError} in place of `fault`, if the host belongs to another cluster.
   */
  async verifyError(host: Host, what: string, fault: unknown): Promise<void> {
    if (!(fault instanceof EtcdError && HAVE_CONSEQUENCES.has(fault.kind)) || host.isBorrowed) return;
    await this.#identify(host, IDENTIFY_WITHIN_MS).catch(() => undefined);
    if (this.#cluster.isForeign(host)) throw foreign(what, this.#cluster.complaintOf(host, host.address));
  }

  /** For calls that passed a guard: replaces a connection that is probably of no use. */
  dialAgain(host: Host): void {
    const isLost = host.heardAtMs < this.#lostAtMs && host.ageMs > clock.now() - this.#lostAtMs;
    if (isLost) host.drop();
    else host.dialAgain();
  }

  /**
   * The host answered on this client. If its last connection was silent, the network has probably lost that connection,
   * and with it all others that have been silent since then. A firewall that restarts does that.
   */
  answered(host: Host, client: HostClient, isProbe: boolean): void {
    const { silentAtMs } = host;
    host.answered(client, isProbe);
    if (silentAtMs !== undefined && host.silentAtMs === undefined) this.#lostAtMs = silentAtMs;
  }

  /** The host is silent on this client. If another one is silent too, the network has probably lost all connections. */
  silent(host: Host, client: HostClient): void {
    const others = this.hosts.flatMap((other) => (other === host ? [] : (other.silentAtMs ?? [])));
    host.dropSilent(client);
    this.#lostAtMs = Math.max(this.#lostAtMs, ...others);
  }

  failed(host: Host, client: HostClient, status: GrpcStatus): void {
    this.selector.failed(host, status);
    if (isByEtcd(status) && isUnfit(status)) host.couldNotServe(client);
    if (isNotConnected(status)) host.couldNotConnect(client, this.selector.telling(host, status.details));
  }

  drop(): void {
    this.#probes.end();
    for (const host of this.hosts) host.drop();
  }

  #clusterTold(event: ClusterEvent<Host>): void {
    this.#tell(
      event.type === 'foreign'
        ? {
            type: 'host.foreign',
            host: event.host.address,
            clusterId: event.clusterId,
            ourClusterId: event.ours,
          }
        : { type: 'cluster.changed', fromClusterId: event.from, toClusterId: event.to },
    );
  }

  /** Tells of a host only if there are several. With a single host, the failed call itself reports the failure. */
  #tellOfHost(event: HostEvent): void {
    if (this.hosts.length > 1) this.#tell(event);
  }
}

/** The error for a call that reached another cluster. Nothing happened in ours. */
export const foreign = (what: string, complaint: string): EtcdError =>
  new EtcdError('unavailable', `${what}: ${complaint}`, false);
