/**
 * Which host to ask: not one that keeps silent, could not be reached or dropped a connection, while there are others.
 */
import { clock } from '../time.ts';
import type { GrpcStatus } from './fault.ts';

/** How long a suspect is passed over, in milliseconds. */
const SUSPECT_FOR_MS = 15_000;

/** A host that answers nothing at all for so long while it is asked is taken for silent, in milliseconds. */
export const SILENT_AFTER_MS = 500;

const UNAVAILABLE = 14;

/** What is said of a host that could not be reached, or reaches no leader; otherwise only a connection has ended. */
const AWAY = /^No connection established|^Name resolution failed|no leader/;

export interface Wishes<Host> {
  /** Asked only if all others are suspects. */
  readonly avoid?: Host | undefined;
  /** Not asked at all. */
  readonly except?: ReadonlySet<Host> | undefined;
}

export class HostChoice<Host> {
  readonly #hosts: readonly Host[];
  readonly #suspects = new Map<Host, { readonly untilMs: number; rank: number }>();
  readonly #answeredAtMs = new Map<Host, number>();

  constructor(hosts: readonly Host[]) {
    this.#hosts = hosts;
  }

  /**
   * One of those that are above suspicion, by chance. Where all are suspects: the one that has been one for longest, so
   * that tries go round.
   *
   * @returns undefined where every host is excepted.
   */
  pick({ avoid, except }: Wishes<Host> = {}): Host | undefined {
    const hosts = this.#hosts.filter((host) => except?.has(host) !== true);
    const trusted = hosts.filter((host) => this.#rankOf(host) === undefined);
    const others = trusted.filter((host) => host !== avoid);
    if (others.length > 0) return anyOf(others);
    if (trusted.length > 0) return anyOf(trusted);
    const ranks = hosts.map((host) => this.#rankOf(host)!);
    return hosts[ranks.indexOf(Math.min(...ranks))];
  }

  /** It answered: clears the suspicion. */
  answered(host: Host): void {
    this.#suspects.delete(host);
    this.#answeredAtMs.set(host, clock.now());
  }

  /** When it last answered a call; -Infinity where it never did. */
  answeredAtMs(host: Host): number {
    return this.#answeredAtMs.get(host) ?? Number.NEGATIVE_INFINITY;
  }

  /**
   * It renewed a lease: alive, which says nothing of writes and reads, for those also need its disk. If all hosts are
   * suspects it is asked before others.
   */
  renewed(host: Host): void {
    const suspect = this.#suspects.get(host);
    if (suspect !== undefined) suspect.rank = suspect.untilMs - 2 * SUSPECT_FOR_MS;
  }

  /** How much longer it may keep silent, in milliseconds: one that answers others meanwhile is slow, not silent. */
  patienceMs(host: Host): number {
    return Math.max(0, this.answeredAtMs(host) + SILENT_AFTER_MS - clock.now());
  }

  /** It keeps silent, or lags behind. */
  suspect(host: Host): void {
    this.#add(host, 0);
  }

  /** A call or a stream ended so: it may refuse connections, have dropped ours, or have no leader. */
  ended(host: Host, { code, details }: GrpcStatus): void {
    // If all are suspects, one that only dropped a connection is dialled before those that could not be reached.
    if (code === UNAVAILABLE) this.#add(host, AWAY.test(details) ? 0 : SUSPECT_FOR_MS);
  }

  /** Suspects have one; the least goes first. */
  #rankOf(host: Host): number | undefined {
    const suspect = this.#suspects.get(host);
    return suspect !== undefined && suspect.untilMs > clock.now() ? suspect.rank : undefined;
  }

  /** @param ageMs for how long it counts as suspect already. */
  #add(host: Host, ageMs: number): void {
    const now = clock.now();
    this.#suspects.set(host, { untilMs: now + SUSPECT_FOR_MS, rank: now - ageMs });
  }
}

const anyOf = <T>(some: readonly T[]): T => some[Math.floor(Math.random() * some.length)]!;
