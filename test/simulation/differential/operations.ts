/** Random operations that often affect each other: few keys, few leases, revisions near the present one. */
import type { Random } from '../etcd/cluster.ts';

export type Operation =
  | { readonly kind: 'unary'; readonly method: string; readonly request: object }
  | { readonly kind: 'watch'; readonly request: object }
  | { readonly kind: 'keepAlive'; readonly ID: string };

const KEYS = ['a', 'a/', 'a/1', 'a/2', 'b', 'c', 'c\0', '\xff', '\xff\xff'];
/** They live for longer than a test: their end would be at another time in etcd than in the model. */
const LEASES = ['101', '102', '103', '9223372036854775807'];

export class Operations {
  readonly #random: Random;
  /** The newest revision that was seen, and the compact one. */
  revision = 1;
  compacted = 0;
  #watches = 0;
  readonly #created: number[] = [];

  constructor(random: Random) {
    this.#random = random;
  }

  #int(below: number): number {
    return Math.floor(this.#random() * below);
  }

  #chance(of: number): boolean {
    return this.#random() < of;
  }

  #pick<T>(list: readonly T[]): T {
    return list[this.#int(list.length)]!;
  }

  next(): Operation {
    const unary = (method: string, request: object): Operation => ({ kind: 'unary', method, request });
    const draw = this.#random();
    if (draw < 0.22) return unary('range', this.#range());
    if (draw < 0.42) return unary('put', this.#put());
    if (draw < 0.49) return unary('deleteRange', this.#delete());
    if (draw < 0.77) return unary('txn', this.#txn(0));
    if (draw < 0.82)
      return unary('leaseGrant', { ID: this.#pick(LEASES), TTL: this.#pick([900, 9_000, 9_000_000_001]) });
    if (draw < 0.84) return unary('leaseRevoke', { ID: this.#lease() });
    if (draw < 0.88) return unary('leaseTimeToLive', { ID: this.#lease(), keys: this.#chance(0.5) });
    if (draw < 0.89) return unary('leaseLeases', {});
    if (draw < 0.91) return { kind: 'keepAlive', ID: this.#lease() };
    if (draw < 0.914) return unary('compact', { revision: this.#compactRevision() });
    if (draw < 0.95) return { kind: 'watch', request: this.#watch() };
    return unary('put', this.#put());
  }

  #key(): Buffer {
    return this.#chance(0.02) ? Buffer.alloc(0) : Buffer.from(this.#pick(KEYS), 'latin1');
  }

  #end(): Buffer {
    if (this.#chance(0.5)) return Buffer.alloc(0);
    return this.#chance(0.2)
      ? Buffer.from([0])
      : Buffer.from(this.#pick(['a0', 'a/0', 'b', 'b0', 'd', '\xff']), 'latin1');
  }

  #lease(): string {
    return this.#chance(0.1) ? '77' : this.#pick(LEASES);
  }

  /** Usually the present one, else one around it. */
  #pastRevision(): string {
    if (this.#chance(0.6)) return '0';
    return String(Math.max(1, this.revision + 2 - this.#int(30)));
  }

  #compactRevision(): string {
    return String(Math.max(1, this.revision + 1 - this.#int(25)));
  }

  #range(): object {
    const isSorted = this.#chance(0.4);
    return {
      key: this.#key(),
      range_end: this.#end(),
      limit: this.#chance(0.3) ? this.#int(4) : 0,
      revision: this.#pastRevision(),
      sort_order: isSorted ? this.#pick(['None', 'Ascend', 'Descend']) : 'None',
      sort_target: isSorted ? this.#pick(['Key', 'Version', 'Create', 'Mod', 'Value']) : 'Key',
      serializable: this.#chance(0.3),
      keys_only: this.#chance(0.2),
      count_only: this.#chance(0.1),
      min_mod_revision: this.#chance(0.1) ? String(this.revision - this.#int(20)) : '0',
      max_mod_revision: this.#chance(0.1) ? String(this.revision - this.#int(20)) : '0',
      min_create_revision: this.#chance(0.1) ? String(this.revision - this.#int(40)) : '0',
      max_create_revision: this.#chance(0.1) ? String(this.revision - this.#int(40)) : '0',
    };
  }

  #put(): object {
    const ignoreValue = this.#chance(0.1);
    return {
      key: this.#key(),
      value: ignoreValue && this.#chance(0.8) ? Buffer.alloc(0) : Buffer.from(String(this.#int(9))),
      lease: this.#chance(0.3) ? this.#lease() : '0',
      prev_kv: this.#chance(0.4),
      ignore_value: ignoreValue,
      ignore_lease: this.#chance(0.1),
    };
  }

  #delete(): object {
    return { key: this.#key(), range_end: this.#end(), prev_kv: this.#chance(0.5) };
  }

  /**
   * Without "no end": etcd's check does not see the conflict with a put of the same transaction, and the process
   * panics.
   */
  #deleteInTxn(): object {
    return {
      key: this.#key(),
      range_end: this.#chance(0.5) ? Buffer.alloc(0) : Buffer.from('b0'),
      prev_kv: this.#chance(0.5),
    };
  }

  #txn(depth: number): object {
    const list = <T>(most: number, make: () => T): T[] => Array.from({ length: this.#int(most + 1) }, make);
    const isTooLong = this.#chance(0.01);
    return {
      compare: list(2, () => this.#compare()),
      success: isTooLong
        ? Array.from({ length: 129 }, () => ({ request_range: { key: Buffer.from('a') } }))
        : list(3, () => this.#op(depth)),
      failure: list(3, () => this.#op(depth)),
    };
  }

  #op(depth: number): object {
    const draw = this.#random();
    if (draw < 0.35) return { request_range: this.#range() };
    if (draw < 0.7) return { request_put: this.#put() };
    if (draw < 0.85) return { request_delete_range: this.#deleteInTxn() };
    return depth < 2 ? { request_txn: this.#txn(depth + 1) } : { request_range: this.#range() };
  }

  #compare(): object {
    const target = this.#pick(['Version', 'Create', 'Mod', 'Value', 'Lease']);
    const near = String(Math.max(0, this.revision - this.#int(12)));
    const union = {
      Version: { version: String(this.#int(4)) },
      Create: { create_revision: this.#chance(0.5) ? '0' : near },
      Mod: { mod_revision: this.#chance(0.5) ? '0' : near },
      Value: { value: Buffer.from(String(this.#int(9))) },
      Lease: { lease: this.#chance(0.5) ? '0' : this.#lease() },
    }[target];
    return {
      result: this.#pick(['Equal', 'Greater', 'Less', 'NotEqual']),
      target,
      key: this.#key(),
      range_end: this.#chance(0.2) ? this.#end() : Buffer.alloc(0),
      ...union,
    };
  }

  #watch(): object {
    const draw = this.#random();
    if (draw < 0.2 && this.#created.length > 0) {
      const at = this.#int(this.#created.length);
      return { cancel_request: { watch_id: String(this.#created.splice(at, 1)[0]) } };
    }
    const id =
      this.#chance(0.1) && this.#created.length > 0 ? this.#pick(this.#created) : ++this.#watches + 1000;
    if (!this.#created.includes(id)) this.#created.push(id);
    return {
      create_request: {
        key: this.#key(),
        range_end: this.#end(),
        start_revision: this.#chance(0.5) ? '0' : String(Math.max(1, this.revision + 3 - this.#int(40))),
        prev_kv: this.#chance(0.4),
        filters: this.#chance(0.2) ? [this.#pick(['Noput', 'Nodelete'])] : [],
        watch_id: String(id),
        fragment: this.#chance(0.2),
      },
    };
  }
}
