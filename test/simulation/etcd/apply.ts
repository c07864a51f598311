/** Applies requests to the data of one member: etcd's applierV3backend (apply.go). */
import type { Defects } from './defects.ts';
import type { Dialect } from './dialect.ts';
import { refuse } from './refusals.ts';
import type { Compare, DeleteRequest, Op, PutRequest, RangeRequest, TxnRequest } from './requests.ts';
import type { End, LeaseItems, Store } from './store.ts';
import { innerHeader, kvMessage, NO_BYTES, NO_LEASE, type KeyValue, type Raw } from './wire.ts';

/** The data that requests change. */
export interface Data {
  readonly store: Store;
  readonly leases: LeaseItems & { has(lease: string): boolean };
  readonly defects: Defects;
  readonly dialect: Dialect;
}

/** mkGteRange: "\0" means no end. */
const endOf = (end: string): End => (end === '' ? undefined : end === '\0' ? '' : end);

export function applyRange({ store, defects }: Data, request: RangeRequest): Raw & { revision: number } {
  const { limit, revision, keysOnly, countOnly } = request;
  const isFiltered =
    request.minMod !== 0 || request.maxMod !== 0 || request.minCreate !== 0 || request.maxCreate !== 0;
  const isSorted = request.sortOrder !== 'None';
  const found = store.range(request.key, endOf(request.end), {
    revision,
    countOnly,
    limit: limit > 0 && !isFiltered && !isSorted ? limit + 1 : 0,
  });
  let kvs = isFiltered ? found.kvs.filter((kv) => isWithin(kv, request)) : found.kvs;
  if (isSorted || request.sortTarget !== 'Key') kvs = sorted(kvs, request);
  const more = limit > 0 && kvs.length > limit;
  if (more) kvs = kvs.slice(0, limit);
  const isWithoutLease = defects.keysOnlyWithoutLease && keysOnly && request.sortTarget !== 'Value';
  return {
    header: innerHeader(found.revision),
    kvs: kvs.map((kv) => kvMessage(isWithoutLease ? { ...kv, lease: NO_LEASE } : kv, keysOnly)),
    more,
    count: String(found.count),
    revision: found.revision,
  };
}

const isWithin = ({ mod, create }: KeyValue, request: RangeRequest): boolean =>
  (request.maxMod === 0 || mod <= request.maxMod) &&
  (request.minMod === 0 || mod >= request.minMod) &&
  (request.maxCreate === 0 || create <= request.maxCreate) &&
  (request.minCreate === 0 || create >= request.minCreate);

function sorted(kvs: readonly KeyValue[], { sortTarget, sortOrder }: RangeRequest): KeyValue[] {
  const compare = {
    Key: (a: KeyValue, b: KeyValue): number => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0),
    Version: (a: KeyValue, b: KeyValue): number => a.version - b.version,
    Create: (a: KeyValue, b: KeyValue): number => a.create - b.create,
    Mod: (a: KeyValue, b: KeyValue): number => a.mod - b.mod,
    Value: (a: KeyValue, b: KeyValue): number => Buffer.compare(a.value, b.value),
  }[sortTarget];
  return [...kvs].sort(sortOrder === 'Descend' ? (a, b) => compare(b, a) : compare);
}

function applyPut({ store, leases }: Data, request: PutRequest): Raw {
  const { key, prevKv, ignoreValue, ignoreLease } = request;
  const [previous] = store.range(key, undefined).kvs;
  if ((ignoreValue || ignoreLease) && previous === undefined) refuse('keyNotFound');
  const value = ignoreValue ? previous!.value : request.value;
  const lease = ignoreLease ? previous!.lease : request.lease;
  const revision = store.put(key, value, lease, leases);
  return {
    header: innerHeader(revision),
    prev_kv: prevKv && previous !== undefined ? kvMessage(previous) : null,
  };
}

function applyDelete({ store, leases }: Data, { key, end, prevKv }: DeleteRequest): Raw {
  const previous = prevKv ? store.range(key, endOf(end)).kvs : [];
  const { deleted, revision } = store.delete(key, endOf(end), leases);
  return {
    header: innerHeader(revision),
    deleted: String(deleted),
    prev_kvs: previous.map((kv) => kvMessage(kv)),
  };
}

/** A put or a delete outside a transaction. */
export function applyWrite(data: Data, request: PutRequest | DeleteRequest): Raw {
  if (request.op === 'deleteRange') return applyDelete(data, request);
  if (request.lease !== NO_LEASE && !data.leases.has(request.lease)) refuse('leaseNotFound');
  return applyPut(data, request);
}

/** The branches of a transaction and of nested ones: all comparisons are made before any change (compareToPath). */
interface Path {
  readonly succeeded: boolean;
  readonly ops: readonly Op[];
  readonly nested: ReadonlyMap<Op, Path>;
}

export function applyTxn(data: Data, request: TxnRequest): Raw & { revision: number } {
  const path = pathOf(data, request);
  const put = (op: Op): unknown => op.op === 'put' && checkPut(data, op);
  const range = (op: Op): unknown => op.op === 'range' && checkRange(data, op);
  if (data.dialect.checksInOrder) checkPath(path, (op) => [put(op), range(op)]);
  else for (const checkOne of [put, range]) checkPath(path, checkOne);
  const { succeeded, responses } = followAll(data, path);
  // A read inside it sees the revision that the whole transaction will have.
  const { revision } = data.store.range('\0', undefined);
  return { header: innerHeader(revision), succeeded, responses, revision };
}

function pathOf(data: Data, { compare, success, failure }: TxnRequest): Path {
  const succeeded = compare.every((one) => isTrue(data, one));
  const ops = succeeded ? success : failure;
  const nested = new Map<Op, Path>();
  for (const op of ops) if (op.op === 'txn') nested.set(op, pathOf(data, op));
  return { succeeded, ops, nested };
}

function checkPath({ ops, nested }: Path, check: (op: Op) => unknown): void {
  for (const op of ops) {
    const inner = nested.get(op);
    if (inner === undefined) check(op);
    else checkPath(inner, check);
  }
}

function checkPut({ store, leases, dialect }: Data, request: PutRequest): void {
  const { key, lease, ignoreValue, ignoreLease } = request;
  const isWithoutLease = lease !== NO_LEASE && !leases.has(lease);
  if (isWithoutLease && dialect.checksLeaseFirst) refuse('leaseNotFound');
  if ((ignoreValue || ignoreLease) && store.range(key, undefined).count === 0) refuse('keyNotFound');
  if (isWithoutLease) refuse('leaseNotFound');
}

function checkRange({ store }: Data, { revision }: RangeRequest): void {
  if (revision === 0) return;
  if (revision > store.revision) refuse('futureRevision');
  if (revision < store.compactRevision) refuse('compacted');
}

/**
 * @throws {Error} if etcd itself panics: an operation is refused only because of an earlier one of the same
 * transaction.
 */
function followAll(data: Data, path: Path): { succeeded: boolean; responses: Raw[] } {
  try {
    return follow(data, path);
  } catch (error) {
    throw new Error('etcd panics: unexpected error during txn', { cause: error });
  }
}

function follow(data: Data, { succeeded, ops, nested }: Path): { succeeded: boolean; responses: Raw[] } {
  const responses = ops.map((op): Raw => {
    switch (op.op) {
      case 'range': {
        const { revision: _, ...response } = applyRange(data, op);
        return { response: 'response_range', response_range: response };
      }
      case 'put':
        return { response: 'response_put', response_put: applyPut(data, op) };
      case 'deleteRange':
        return { response: 'response_delete_range', response_delete_range: applyDelete(data, op) };
      case 'txn':
        return {
          response: 'response_txn',
          response_txn: { header: innerHeader(0), ...follow(data, nested.get(op)!) },
        };
      case 'none':
        return {};
    }
  });
  return { succeeded, responses };
}

/** applyCompare: a range is compared key by key. All numbers of a missing key are 0, and no value equals its value. */
function isTrue({ store }: Data, compare: Compare): boolean {
  const { kvs } = store.range(compare.key, endOf(compare.end));
  if (kvs.length > 0) return kvs.every((kv) => isTrueOf(compare, kv));
  return compare.target !== 'Value' && isTrueOf(compare, NOTHING);
}

const NOTHING: KeyValue = { key: '', value: NO_BYTES, create: 0, mod: 0, version: 0, lease: NO_LEASE };

function isTrueOf({ target, result, number, value }: Compare, kv: KeyValue): boolean {
  const order = target === 'Value' ? Buffer.compare(kv.value, value) : orderOf(numberIn(kv, target), number);
  switch (result) {
    case 'Equal':
      return order === 0;
    case 'NotEqual':
      return order !== 0;
    case 'Greater':
      return order > 0;
    case 'Less':
      return order < 0;
  }
}

function numberIn(
  { version, create, mod, lease }: KeyValue,
  target: Exclude<Compare['target'], 'Value'>,
): bigint {
  return BigInt({ Version: version, Create: create, Mod: mod, Lease: lease }[target]);
}

const orderOf = (a: bigint, b: bigint): number => (a < b ? -1 : a > b ? 1 : 0);
