/**
 * One member's leases, after etcd's lessor (lease/lessor.go). Only the primary counts time and renews: the
 * member that leads and has applied its first entry. The others keep the leases until they become the primary.
 */
import { refuse } from './refusals.ts';
import type { LeaseItems } from './store.ts';
import { NO_LEASE, type KeyValue } from './wire.ts';

const MAX_TTL_SECONDS = 9_000_000_000;
/** LessorConfig.ExpiredLeasesRetryInterval. */
const RETRY_REVOKE_MS = 3_000;
/** leaseRevokeRate / 2: the most leases that one scan reports. */
const REVOKES_PER_SCAN = 500;

interface Lease {
  readonly id: string;
  readonly ttlSeconds: number;
  /** On the member's own clock; infinite if this member does not count. */
  expiryMs: number;
  /**
   * The time of the next scan of this lease: its expiry, or later while a revoke is in progress
   * (LeaseExpiredNotifier).
   */
  scanAtMs: number;
  readonly keys: Set<string>;
  /** Renewals after the expiry wait for the revoke, or for another primary. */
  waiting: ((outcome: 'revoked' | 'demoted') => void)[];
}

export type Renewal = { readonly ttlSeconds: number } | 'not-found' | 'not-primary';

export class Lessor implements LeaseItems {
  readonly #minTtlSeconds: number;
  readonly #now: () => number;
  readonly #leases = new Map<string, Lease>();
  readonly #items = new Map<string, string>();
  #isPrimary = false;

  /** @param now the member's own monotonic clock, in milliseconds. */
  constructor(minTtlSeconds: number, now: () => number) {
    this.#minTtlSeconds = minTtlSeconds;
    this.#now = now;
  }

  get isPrimary(): boolean {
    return this.#isPrimary;
  }

  get ids(): readonly string[] {
    return [...this.#leases.values()].sort((a, b) => a.expiryMs - b.expiryMs).map(({ id }) => id);
  }

  has(id: string): boolean {
    return this.#leases.has(id);
  }

  /** @returns the TTL, which can be longer than requested. */
  grant(id: string, asked: number): number {
    if (id === NO_LEASE) refuse('leaseNotFound');
    if (asked > MAX_TTL_SECONDS) refuse('ttlTooLarge');
    if (this.#leases.has(id)) refuse('leaseExists');
    const ttlSeconds = Math.max(asked, this.#minTtlSeconds);
    const lease = this.#add(id, ttlSeconds);
    if (this.#isPrimary) this.#refresh(lease, 0);
    return ttlSeconds;
  }

  #add(id: string, ttlSeconds: number): Lease {
    const expiryMs = Number.POSITIVE_INFINITY;
    const lease = { id, ttlSeconds, expiryMs, scanAtMs: expiryMs, keys: new Set<string>(), waiting: [] };
    this.#leases.set(id, lease);
    return lease;
  }

  #refresh(lease: Lease, extendMs: number): void {
    lease.expiryMs = this.#now() + extendMs + lease.ttlSeconds * 1000;
    lease.scanAtMs = lease.expiryMs;
  }

  /**
   * Removes the lease.
   * @returns its keys in order, which the caller deletes.
   */
  revoke(id: string): readonly string[] {
    const lease = this.#leases.get(id) ?? refuse('leaseNotFound');
    return [...lease.keys].sort();
  }

  /** The second half of a revoke, after the deletion of its keys. */
  revoked(id: string): void {
    const lease = this.#leases.get(id)!;
    this.#leases.delete(id);
    for (const tell of lease.waiting.splice(0)) tell('revoked');
  }

  /** lessor.Renew. Calls back at once, or when the fate of an expired lease is decided. */
  renew(id: string, done: (renewal: Renewal) => void): void {
    if (!this.#isPrimary) return done('not-primary');
    const lease = this.#leases.get(id);
    if (lease === undefined) return done('not-found');
    if (lease.expiryMs > this.#now()) {
      this.#refresh(lease, 0);
      return done({ ttlSeconds: lease.ttlSeconds });
    }
    lease.waiting.push((outcome) => done(outcome === 'revoked' ? 'not-found' : 'not-primary'));
  }

  /**
   * lessor.Lookup, as LeaseTimeToLive shows it.
   * @returns undefined if the lease does not exist.
   */
  look(id: string): { ttlSeconds: number; leftSeconds: number; keys: readonly string[] } | undefined {
    const lease = this.#leases.get(id);
    if (lease === undefined) return undefined;
    const leftMs = lease.expiryMs - this.#now();
    const leftSeconds = Number.isFinite(leftMs) ? Math.trunc(leftMs / 1000) + 0 : FOREVER_SECONDS;
    return { ttlSeconds: lease.ttlSeconds, leftSeconds, keys: [...lease.keys].sort() };
  }

  /** Every lease starts again, and is extended by the possible duration of a change of leader. */
  promote(extendMs: number): void {
    this.#isPrimary = true;
    for (const lease of this.#leases.values()) this.#refresh(lease, extendMs);
  }

  demote(): void {
    this.#isPrimary = false;
    for (const lease of this.#leases.values()) {
      lease.expiryMs = Number.POSITIVE_INFINITY;
      lease.scanAtMs = Number.POSITIVE_INFINITY;
      for (const tell of lease.waiting.splice(0)) tell('demoted');
    }
  }

  /**
   * revokeExpiredLeases.
   * @returns the leases to revoke. A lease that remains is returned again later.
   */
  expired(): readonly string[] {
    if (!this.#isPrimary) return [];
    const now = this.#now();
    const due: string[] = [];
    for (const lease of this.#leases.values()) {
      if (lease.scanAtMs > now) continue;
      lease.scanAtMs = now + RETRY_REVOKE_MS;
      if (lease.expiryMs <= now && due.push(lease.id) >= REVOKES_PER_SCAN) break;
    }
    return due;
  }

  leaseOf(key: string): string {
    return this.#items.get(key) ?? NO_LEASE;
  }

  attach(id: string, key: string): void {
    this.#leases.get(id)!.keys.add(key);
    this.#items.set(key, id);
  }

  detach(id: string, key: string): void {
    const lease = this.#leases.get(id);
    if (lease === undefined) return;
    lease.keys.delete(key);
    this.#items.delete(key);
  }

  /** The part of the leases that is on disk. */
  save(): readonly SavedLease[] {
    return [...this.#leases.values()].map(({ id, ttlSeconds }) => ({ id, ttlSeconds }));
  }

  /** lessor.Recover, and the attaching in mvcc.Restore. */
  recover(saved: readonly SavedLease[], kvs: Iterable<KeyValue>): void {
    this.#leases.clear();
    this.#items.clear();
    for (const { id, ttlSeconds } of saved) this.#add(id, Math.max(ttlSeconds, this.#minTtlSeconds));
    for (const { key, lease } of kvs) if (this.#leases.has(lease)) this.attach(lease, key);
  }
}

export interface SavedLease {
  readonly id: string;
  readonly ttlSeconds: number;
}

/** The longest time.Duration in seconds: the remaining time that a member reports if it does not count. */
const FOREVER_SECONDS = 9_223_372_036;
