/**
 * Chooses the host for a call. A host that did not answer, was unreachable or dropped a connection is a suspect.
 * Suspects come last.
 */
import { plainCauseWithCertificate } from '../core/plain-cause.ts';
import { clock } from '../util/clock.ts';
import { isByEtcd, isNotConnected, isUnfit, isUnsendable, type GrpcStatus } from './etcd-error.ts';

/** A host is silent if calls wait for it and nothing has come from it for this long, in milliseconds. */
export const SILENT_AFTER_MS = 500;

/**
 * A mild failure counts as if it had happened this much earlier, in milliseconds. A failure is mild if the host only dropped a
 * connection, or has renewed a lease since. If all hosts are suspects, the one with the oldest failure is tried first.
 */
const HEAD_START_MS = 15_000;

/** We have closed the connection, or gRPC waits before it dials again. An earlier failure says more. */
const SAYS_NOTHING = /^(Channel closed before call started|No connection established)$/;

/** The gRPC code CANCELLED: we ended the call. */
const CANCELLED = 1;

export interface Wishes<Host> {
  /** A host to choose only if all others are suspects. */
  readonly avoid?: Host | undefined;
  readonly except?: ReadonlySet<Host> | undefined;
}

interface Suspect {
  readonly sinceMs: number;
  rank: number;
  /** The last failure that says anything. */
  readonly reason: string;
}

export interface OnChange<Host> {
  readonly away: (host: Host, reason: string) => void;
  readonly back: (host: Host, afterMs: number) => void;
}

export class HostSelector<Host> {
  readonly #hosts: readonly Host[];
  readonly #on: OnChange<Host>;
  readonly #suspects = new Map<Host, Suspect>();
  readonly #heardAtMs = new Map<Host, number>();

  constructor(hosts: readonly Host[], on: OnChange<Host>) {
    this.#hosts = hosts;
    this.#on = on;
  }

  /**
   * Picks a random host that is not a suspect. If all are suspects, picks the one whose last failure is the oldest, so
   * that every host gets its turn. Mild failures count as older ({@link HEAD_START_MS}).
   *
   * @returns undefined if every host is excepted.
   */
  pick({ avoid, except }: Wishes<Host> = {}): Host | undefined {
    const hosts = this.#hosts.filter((host) => except?.has(host) !== true);
    const trusted = hosts.filter((host) => !this.#suspects.has(host));
    const others = trusted.filter((host) => host !== avoid);
    if (others.length > 0) return anyOf(others);
    if (trusted.length > 0) return anyOf(trusted);
    const ranks = hosts.map((host) => this.#suspects.get(host)!.rank);
    return hosts[ranks.indexOf(Math.min(...ranks))];
  }

  /** Why the last call or stream of a suspect failed; undefined if the host is not a suspect. */
  causeOf(host: Host): string | undefined {
    return this.#suspects.get(host)?.reason;
  }

  /**
   * The readable text of a failure. If that text says nothing, returns the last known cause, because gRPC gives the cause
   * of a failed dial only to some calls.
   */
  telling(host: Host, said: string): string {
    const told = plainCauseWithCertificate(said);
    return SAYS_NOTHING.test(told) ? (this.causeOf(host) ?? told) : told;
  }

  isSuspect(host: Host): boolean {
    return this.#suspects.has(host);
  }

  /** The host answered a call that needs its disk or the cluster. It is no longer a suspect. */
  answered(host: Host): void {
    this.heard(host);
    const suspect = this.#suspects.get(host);
    if (suspect === undefined) return;
    this.#suspects.delete(host);
    this.#on.back(host, clock.now() - suspect.sinceMs);
  }

  heard(host: Host): void {
    this.#heardAtMs.set(host, clock.now());
  }

  /** When something last came from the host, in milliseconds; -Infinity if nothing ever did. */
  heardAtMs(host: Host): number {
    return this.#heardAtMs.get(host) ?? Number.NEGATIVE_INFINITY;
  }

  /** The host renewed a lease. It is alive but stays a suspect, because reads and writes also need its disk. */
  renewed(host: Host): void {
    const suspect = this.#suspects.get(host);
    if (suspect !== undefined) suspect.rank = suspect.sinceMs - HEAD_START_MS;
  }

  /** How much longer the host may stay silent, in milliseconds. A host that answers other calls is slow, not silent. */
  patienceMs(host: Host): number {
    return Math.max(0, this.heardAtMs(host) + SILENT_AFTER_MS - clock.now());
  }

  suspect(host: Host, reason: string): void {
    this.#add(host, 0, reason);
  }

  /**
   * Records a failed call or stream. The host becomes a suspect, unless we ended the call or the call was too large.
   * An error of etcd itself counts only if the member is unfit.
   */
  failed(host: Host, status: GrpcStatus): void {
    if (isByEtcd(status)) {
      if (isUnfit(status)) this.#add(host, 0, status.details);
    } else if (status.code !== CANCELLED && !isUnsendable(status))
      this.#add(host, isNotConnected(status) ? 0 : HEAD_START_MS, status.details);
  }

  #add(host: Host, headStartMs: number, said: string): void {
    const now = clock.now();
    const before = this.#suspects.get(host);
    const reason = this.telling(host, said);
    this.#suspects.set(host, { sinceMs: before?.sinceMs ?? now, rank: now - headStartMs, reason });
    if (before === undefined) this.#on.away(host, reason);
  }
}

const anyOf = <T>(some: readonly T[]): T => some[Math.floor(Math.random() * some.length)]!;
