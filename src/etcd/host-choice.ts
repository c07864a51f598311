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

/** How often another host is asked for: of three, two suspects are picked each time once in ten million times. */
const ASKS_FOR_ANOTHER = 40;

/** Says that a host is not wanted. */
export class Elsewhere extends Error {}

export class HostChoice {
  readonly hostCount: number;
  readonly #suspects = new Map<string, { readonly untilMs: number; rank: number }>();
  readonly #answeredAtMs = new Map<string, number>();

  constructor(hostCount: number) {
    this.hostCount = hostCount;
  }

  /**
   * etcd3 picks a host by chance, and the attempt shows whom: while that is a suspect we ask again for another.
   *
   * @param attempt must fail with what `steer` throws, and send nothing before it has called it.
   */
  async choose<T>(attempt: (steer: (host: string) => void) => Promise<T>): Promise<T> {
    for (let asks = this.hostCount > 1 ? ASKS_FOR_ANOTHER : 0; ; asks--) {
      try {
        return await attempt((host) => {
          if (asks > 0 && this.#isUnwanted(host)) throw new Elsewhere();
        });
      } catch (error) {
        if (!(error instanceof Elsewhere)) throw error;
      }
    }
  }

  /** It answered: whatever was held against it is over. */
  answered(host: string): void {
    this.#suspects.delete(host);
    this.#answeredAtMs.set(host, clock.now());
  }

  /**
   * It renewed a lease: alive, which says nothing of writes and reads, for those also need its disk. While nobody is above
   * suspicion it is asked before others.
   */
  renewed(host: string): void {
    const suspect = this.#suspects.get(host);
    if (suspect !== undefined) suspect.rank = suspect.untilMs - 2 * SUSPECT_FOR_MS;
  }

  /** How much longer it may keep silent, in milliseconds: one that answers others meanwhile is slow, not silent. */
  patienceMs(host: string): number {
    const answeredAtMs = this.#answeredAtMs.get(host) ?? Number.NEGATIVE_INFINITY;
    return Math.max(0, answeredAtMs + SILENT_AFTER_MS - clock.now());
  }

  /** It keeps silent, or lags behind. */
  suspect(host: string): void {
    this.#add(host, 0);
  }

  /** A call or a stream ended so: it may refuse connections, have dropped ours, or have no leader. */
  ended(host: string, { code, details }: GrpcStatus): void {
    // Where nobody else is left, who only dropped a connection is dialled before those that could not be reached.
    if (code === UNAVAILABLE) this.#add(host, AWAY.test(details) ? 0 : SUSPECT_FOR_MS);
  }

  /** A suspect, unless all are: then the one that has been one for longest is asked, so that tries go round. */
  #isUnwanted(host: string): boolean {
    const now = clock.now();
    const ranks = new Map<string, number>();
    for (const [suspect, { untilMs, rank }] of this.#suspects) if (untilMs > now) ranks.set(suspect, rank);
    const rank = ranks.get(host);
    return rank !== undefined && (ranks.size < this.hostCount || rank > Math.min(...ranks.values()));
  }

  /** @param ageMs for how long it counts as suspect already. */
  #add(host: string, ageMs: number): void {
    const now = clock.now();
    this.#suspects.set(host, { untilMs: now + SUSPECT_FOR_MS, rank: now - ageMs });
  }
}
