/** A client's request, parsed once, and etcd's checks before it is proposed (v3rpc/key.go). */
import type { Dialect } from './dialect.ts';
import { refuse } from './refusals.ts';
import { bytesOf, enumOf, idOf, keyOf, numberOf, raw, rawList, type Raw } from './wire.ts';

export interface RangeRequest {
  readonly op: 'range';
  readonly key: string;
  readonly end: string;
  readonly limit: number;
  readonly revision: number;
  readonly sortOrder: 'None' | 'Ascend' | 'Descend';
  readonly sortTarget: 'Key' | 'Version' | 'Create' | 'Mod' | 'Value';
  readonly serializable: boolean;
  readonly keysOnly: boolean;
  readonly countOnly: boolean;
  readonly minMod: number;
  readonly maxMod: number;
  readonly minCreate: number;
  readonly maxCreate: number;
}

export interface PutRequest {
  readonly op: 'put';
  readonly key: string;
  readonly value: Buffer;
  readonly lease: string;
  readonly prevKv: boolean;
  readonly ignoreValue: boolean;
  readonly ignoreLease: boolean;
}

export interface DeleteRequest {
  readonly op: 'deleteRange';
  readonly key: string;
  readonly end: string;
  readonly prevKv: boolean;
}

export interface Compare {
  readonly key: string;
  readonly end: string;
  readonly result: 'Equal' | 'Greater' | 'Less' | 'NotEqual';
  readonly target: 'Version' | 'Create' | 'Mod' | 'Value' | 'Lease';
  /** The number or ID to compare with. */
  readonly number: bigint;
  readonly value: Buffer;
}

export interface TxnRequest {
  readonly op: 'txn';
  readonly compare: readonly Compare[];
  readonly success: readonly Op[];
  readonly failure: readonly Op[];
}

export type Op = RangeRequest | PutRequest | DeleteRequest | TxnRequest | { readonly op: 'none' };

/**
 * The meaning of an empty `range_end` in a request. Raft loses it on the way, so it means one key. A read is
 * answered from the client's original request, and there etcd takes it for no end, before 3.7.
 */
export type Path = 'raft' | 'read';

export const pathOfReads = ({ emptyEndIsNoEnd }: Dialect): Path => (emptyEndIsNoEnd ? 'read' : 'raft');

function endIn(request: Raw, path: Path): string {
  const end = request['range_end'];
  if (end === undefined || end === null) return '';
  return keyOf(end) || (path === 'read' ? '\0' : '');
}

export function parseRange(request: Raw, path: Path): RangeRequest {
  return {
    op: 'range',
    key: keyOf(request['key']),
    end: endIn(request, path),
    limit: numberOf(request['limit']),
    revision: numberOf(request['revision']),
    sortOrder: enumOf(request['sort_order'], ['None', 'Ascend', 'Descend']),
    sortTarget: enumOf(request['sort_target'], ['Key', 'Version', 'Create', 'Mod', 'Value']),
    serializable: request['serializable'] === true,
    keysOnly: request['keys_only'] === true,
    countOnly: request['count_only'] === true,
    minMod: numberOf(request['min_mod_revision']),
    maxMod: numberOf(request['max_mod_revision']),
    minCreate: numberOf(request['min_create_revision']),
    maxCreate: numberOf(request['max_create_revision']),
  };
}

export function parsePut(request: Raw): PutRequest {
  return {
    op: 'put',
    key: keyOf(request['key']),
    value: bytesOf(request['value']),
    lease: idOf(request['lease']),
    prevKv: request['prev_kv'] === true,
    ignoreValue: request['ignore_value'] === true,
    ignoreLease: request['ignore_lease'] === true,
  };
}

export function parseDelete(request: Raw): DeleteRequest {
  return {
    op: 'deleteRange',
    key: keyOf(request['key']),
    end: endIn(request, 'raft'),
    prevKv: request['prev_kv'] === true,
  };
}

/** @param reads how a transaction that only reads is parsed. */
export function parseTxn(request: Raw, reads: Path): TxnRequest {
  const txn = parseTxnFor(request, 'raft');
  return isReadOnly(txn) ? parseTxnFor(request, reads) : txn;
}

function parseTxnFor(request: Raw, path: Path): TxnRequest {
  return {
    op: 'txn',
    compare: rawList(request['compare']).map((one) => parseCompare(one, path)),
    success: rawList(request['success']).map((one) => parseOp(one, path)),
    failure: rawList(request['failure']).map((one) => parseOp(one, path)),
  };
}

function parseCompare(compare: Raw, path: Path): Compare {
  const target = enumOf(compare['target'], ['Version', 'Create', 'Mod', 'Value', 'Lease']);
  const numbers = {
    Version: compare['version'],
    Create: compare['create_revision'],
    Mod: compare['mod_revision'],
    Value: undefined,
    Lease: compare['lease'],
  };
  return {
    key: keyOf(compare['key']),
    end: endIn(compare, path),
    result: enumOf(compare['result'], ['Equal', 'Greater', 'Less', 'NotEqual']),
    target,
    number: BigInt(idOf(numbers[target])),
    value: bytesOf(compare['value']),
  };
}

function parseOp(op: Raw, path: Path): Op {
  if (op['request_range'] != null) return parseRange(raw(op['request_range']), path);
  if (op['request_put'] != null) return parsePut(raw(op['request_put']));
  if (op['request_delete_range'] != null) return parseDelete(raw(op['request_delete_range']));
  if (op['request_txn'] != null) return parseTxnFor(raw(op['request_txn']), path);
  return { op: 'none' };
}

/**
 * checkRangeRequest, checkPutRequest, checkDeleteRequest, checkRequestOp.
 * @param opsLeft rest of the limit, for nested transactions.
 */
export function check(op: Op, opsLeft: number): void {
  switch (op.op) {
    case 'none':
      return refuse('keyNotFound');
    case 'txn':
      return checkTxn(op, opsLeft);
    case 'put':
      if (op.key === '') refuse('emptyKey');
      if (op.ignoreValue && op.value.length > 0) refuse('valueProvided');
      if (op.ignoreLease && op.lease !== '0') refuse('leaseProvided');
      return;
    case 'range':
    case 'deleteRange':
      if (op.key === '') refuse('emptyKey');
  }
}

/** checkTxnRequest. Each level uses as many of the operations as its longest list has. */
function checkTxn({ compare, success, failure }: TxnRequest, opsLeft: number): void {
  const longest = Math.max(compare.length, success.length, failure.length);
  if (longest > opsLeft) refuse('tooManyOps');
  if (compare.some(({ key }) => key === '')) refuse('emptyKey');
  for (const op of [...success, ...failure]) check(op, opsLeft - longest);
}

type Interval = readonly [from: string, to: string | undefined];

/** checkIntervals: operations that can run together must not put a key twice, or put and delete it. */
export function checkOverlaps(ops: readonly Op[]): { puts: Set<string>; deletes: readonly Interval[] } {
  const deletes: Interval[] = [];
  for (const op of ops) if (op.op === 'deleteRange') deletes.push(intervalOf(op));
  const puts = new Set<string>();
  const add = (key: string, isAllowed: boolean): void => {
    if ((puts.has(key) && !isAllowed) || deletes.some((range) => contains(range, key)))
      refuse('duplicateKey');
    puts.add(key);
  };
  for (const op of ops) {
    if (op.op !== 'txn') continue;
    const success = checkOverlaps(op.success);
    const failure = checkOverlaps(op.failure);
    for (const key of success.puts) add(key, false);
    for (const key of failure.puts) add(key, success.puts.has(key)); // only one of the branches runs
    deletes.push(...success.deletes, ...failure.deletes);
  }
  for (const op of ops) if (op.op === 'put') add(op.key, false);
  return { puts, deletes };
}

/** adt.NewStringAffineInterval: an end of "\0" is taken literally, and "" means no end. */
const intervalOf = ({ key, end }: DeleteRequest): Interval => (end === '' ? [key, `${key}\0`] : [key, end]);

const contains = ([from, to]: Interval, key: string): boolean =>
  key >= from && (to === undefined || key < to);

/** isTxnReadonly: a nested transaction counts as a write. */
export const isReadOnly = ({ success, failure }: TxnRequest): boolean =>
  [...success, ...failure].every(({ op }) => op === 'range');

/** isTxnSerializable. */
export const isSerializable = ({ success, failure }: TxnRequest): boolean =>
  [...success, ...failure].every((op) => op.op === 'range' && op.serializable);
