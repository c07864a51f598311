/**
 * One member's data: every version of every key since the last compaction, after etcd's mvcc.store. Entries are
 * applied one at a time, so a write needs no isolation: it changes the data in place, and `end` closes the
 * revision.
 */
import { refuse } from './refusals.ts';
import { NO_BYTES, NO_LEASE, type Change, type KeyValue } from './wire.ts';

/** The lease's view of its keys: lessor.Attach and Detach. */
export interface LeaseItems {
  /** @returns the lease of the key. */
  leaseOf(key: string): string;
  attach(lease: string, key: string): void;
  detach(lease: string, key: string): void;
}

export interface Found {
  readonly kvs: readonly KeyValue[];
  readonly count: number;
  /** The store's own revision, whatever revision was requested. */
  readonly revision: number;
}

/** The end of a range: `undefined` means one key, "" means no end. */
export type End = string | undefined;

export class Store {
  #revision = 1;
  /** etcd starts below every revision. */
  #compactRevision = -1;
  /** Existing keys, in order. */
  #keys: string[] = [];
  #current = new Map<string, KeyValue>();
  /** Every version of a key, oldest first, including deletes. */
  #versions = new Map<string, Change[]>();
  /** All changes, in order. */
  #log: Change[] = [];
  #changes: Change[] = [];

  get revision(): number {
    return this.#revision;
  }

  get compactRevision(): number {
    return this.#compactRevision;
  }

  /** The revision that a read inside a write sees. */
  get #readRevision(): number {
    return this.#revision + (this.#changes.length > 0 ? 1 : 0);
  }

  /** storeTxnRead.rangeKeys. @param revision of the past, or 0 for now. */
  range(key: string, end: End, { revision = 0, limit = 0, countOnly = false } = {}): Found {
    const current = this.#readRevision;
    if (revision > current) refuse('futureRevision');
    if (revision > 0 && revision < this.#compactRevision) refuse('compacted');
    const isPast = revision > 0 && revision < current;
    const all = isPast ? this.#pastOf(key, end, revision) : this.#presentOf(key, end);
    const kvs = countOnly ? [] : limit > 0 && all.length > limit ? all.slice(0, limit) : all;
    return { kvs, count: all.length, revision: current };
  }

  #presentOf(key: string, end: End): KeyValue[] {
    if (end === undefined) {
      const kv = this.#current.get(key);
      return kv === undefined ? [] : [kv];
    }
    const found: KeyValue[] = [];
    for (let i = positionOf(this.#keys, key); i < this.#keys.length; i++) {
      const name = this.#keys[i]!;
      if (end !== '' && name >= end) break;
      found.push(this.#current.get(name)!);
    }
    return found;
  }

  #pastOf(key: string, end: End, revision: number): KeyValue[] {
    const found: KeyValue[] = [];
    const names = end === undefined ? [key] : [...this.#versions.keys()];
    for (const name of names) {
      if (end !== undefined && (name < key || (end !== '' && name >= end))) continue;
      const last = this.#versions.get(name)?.findLast(({ kv }) => kv.mod <= revision);
      if (last?.type === 'Put') found.push(last.kv);
    }
    return found.sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  /** storeTxnWrite.put. */
  put(key: string, value: Buffer, lease: string, items: LeaseItems): number {
    const mod = this.#revision + 1;
    const previous = this.#current.get(key);
    const oldLease = previous === undefined ? NO_LEASE : items.leaseOf(key);
    const kv: KeyValue = {
      key,
      value,
      create: previous?.create ?? mod,
      mod,
      version: (previous?.version ?? 0) + 1,
      lease,
    };
    if (previous === undefined) this.#keys.splice(positionOf(this.#keys, key), 0, key);
    this.#current.set(key, kv);
    this.#record({ type: 'Put', kv });
    if (oldLease !== NO_LEASE) items.detach(oldLease, key);
    if (lease !== NO_LEASE) items.attach(lease, key);
    return mod;
  }

  /** storeTxnWrite.DeleteRange. */
  delete(key: string, end: End, items: LeaseItems): { deleted: number; revision: number } {
    const found = this.#presentOf(key, end);
    for (const { key: name } of found) {
      this.#current.delete(name);
      this.#keys.splice(positionOf(this.#keys, name), 1);
      const mod = this.#revision + 1;
      const kv = { key: name, value: NO_BYTES, create: 0, mod, version: 0, lease: NO_LEASE };
      this.#record({ type: 'Delete', kv });
      const lease = items.leaseOf(name);
      if (lease !== NO_LEASE) items.detach(lease, name);
    }
    return { deleted: found.length, revision: this.#readRevision };
  }

  #record(change: Change): void {
    this.#changes.push(change);
    this.#log.push(change);
    const versions = this.#versions.get(change.kv.key);
    if (versions === undefined) this.#versions.set(change.kv.key, [change]);
    else versions.push(change);
  }

  /**
   * storeTxnWrite.End: a write without a change has no revision.
   * @returns the changes for the watchers.
   */
  end(): readonly Change[] {
    const changes = this.#changes;
    if (changes.length > 0) {
      this.#revision++;
      this.#changes = [];
    }
    return changes;
  }

  /** The changes from a revision on. */
  changesFrom(revision: number): readonly Change[] {
    let low = 0;
    let high = this.#log.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#log[middle]!.kv.mod < revision) low = middle + 1;
      else high = middle;
    }
    return this.#log.slice(low);
  }

  /** The state of a key just before a revision; undefined if that is compacted. */
  before({ key, mod }: KeyValue): KeyValue | undefined {
    if (mod - 1 < this.#compactRevision) return undefined;
    const last = this.#versions.get(key)?.findLast(({ kv }) => kv.mod < mod);
    return last?.type === 'Put' ? last.kv : undefined;
  }

  /**
   * store.Compact: keeps the newest version of each key up to the revision, unless that is a delete.
   * @param losesDeletes #18089: also drops a delete exactly at that revision, although a watch may begin there.
   */
  compact(revision: number, losesDeletes: boolean): void {
    if (revision <= this.#compactRevision) refuse('compacted');
    if (revision > this.#revision) refuse('futureRevision');
    this.#compactRevision = revision;
    const isKept = ({ type, kv }: Change, isLast: boolean): boolean =>
      kv.mod > revision || (isLast && (type === 'Put' || (kv.mod === revision && !losesDeletes)));
    const kept = new Set<Change>();
    for (const [key, versions] of this.#versions) {
      const last = versions.findLastIndex(({ kv }) => kv.mod <= revision);
      const rest = versions.filter((change, i) => isKept(change, i === last));
      for (const change of rest) kept.add(change);
      if (rest.length === 0) this.#versions.delete(key);
      else this.#versions.set(key, rest);
    }
    this.#log = this.#log.filter((change) => kept.has(change));
  }

  /** #19179: the deletes exactly at the compact revision are lost. */
  dropDeletes(): void {
    const isLost = ({ type, kv }: Change): boolean => type === 'Delete' && kv.mod === this.#compactRevision;
    this.#log = this.#log.filter((change) => !isLost(change));
    for (const [key, versions] of this.#versions) {
      const kept = versions.filter((change) => !isLost(change));
      if (kept.length === 0) this.#versions.delete(key);
      else this.#versions.set(key, kept);
    }
  }

  /** A copy for a backup, or for a member that gets a snapshot. */
  clone(): Store {
    const copy = new Store();
    copy.#revision = this.#revision;
    copy.#compactRevision = this.#compactRevision;
    copy.#keys = [...this.#keys];
    copy.#current = new Map(this.#current);
    copy.#versions = new Map([...this.#versions].map(([key, versions]) => [key, [...versions]]));
    copy.#log = [...this.#log];
    return copy;
  }

  /** `etcdutl snapshot restore --bump-revision --mark-compacted`. */
  bump(by: number): void {
    this.#revision += by;
    this.#compactRevision = this.#revision;
  }

  /** All existing keys, to attach them to leases. */
  *all(): Iterable<KeyValue> {
    yield* this.#current.values();
  }
}

/** The position of a key in a sorted list, or its insertion point. */
function positionOf(keys: readonly string[], key: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (keys[middle]! < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
