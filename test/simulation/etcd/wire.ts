/**
 * Requests and responses in the form of etcd3's proto-loader: names of rpc.proto, int64 as decimal strings,
 * bytes as Buffers, enums as strings. Inside the model a key is a latin1 string, which sorts like its bytes. A
 * lease ID is a canonical decimal string, because 63 bits do not fit into a number.
 */

/** etcd's error instead of a response: the gRPC status code, and etcd's own text. */
export interface EtcdRefusal {
  readonly code: number;
  readonly message: string;
}

export type Raw = Readonly<Record<string, unknown>>;

export interface Header {
  readonly cluster_id: string;
  readonly member_id: string;
  readonly revision: string;
  readonly raft_term: string;
}

/** One version of a key. It never changes, so members, snapshots and responses share it. */
export interface KeyValue {
  readonly key: string;
  readonly value: Buffer;
  readonly create: number;
  readonly mod: number;
  readonly version: number;
  readonly lease: string;
}

export interface Change {
  readonly type: 'Put' | 'Delete';
  /** For a delete only `key` and `mod` have a meaning. */
  readonly kv: KeyValue;
}

export const NO_LEASE = '0';
export const NO_BYTES = Buffer.alloc(0);

export const raw = (value: unknown): Raw => (value ?? {}) as Raw;
export const rawList = (value: unknown): readonly Raw[] => (value ?? []) as readonly Raw[];

export function numberOf(value: unknown): number {
  return value === undefined || value === null ? 0 : Number(value as string);
}

export function idOf(value: unknown): string {
  if (value === undefined || value === null) return '0';
  return BigInt.asIntN(64, BigInt(value as string)).toString();
}

export function bytesOf(value: unknown): Buffer {
  if (value === undefined || value === null) return NO_BYTES;
  if (Buffer.isBuffer(value)) return value;
  return typeof value === 'string' ? Buffer.from(value, 'base64') : Buffer.from(value as Uint8Array);
}

export const keyOf = (value: unknown): string => bytesOf(value).toString('latin1');

/** proto-loader accepts an enum by its name or its number. */
export function enumOf<T extends string>(value: unknown, names: readonly T[]): T {
  if (value === undefined || value === null) return names[0]!;
  return typeof value === 'number' ? (names[value] ?? names[0]!) : (value as T);
}

export const fromKey = (key: string): Buffer => Buffer.from(key, 'latin1');

export function kvMessage({ key, value, create, mod, version, lease }: KeyValue, keysOnly = false): Raw {
  return {
    key: fromKey(key),
    create_revision: String(create),
    mod_revision: String(mod),
    version: String(version),
    value: keysOnly ? NO_BYTES : value,
    lease,
  };
}

/** The header of a response inside a transaction: only the revision is set. */
export const innerHeader = (revision: number): Header => ({
  cluster_id: '0',
  member_id: '0',
  revision: String(revision),
  raft_term: '0',
});
