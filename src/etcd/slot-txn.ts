/**
 * Fenced transactions that leave a mark in a slot. If the answer to such a transaction is lost, further calls find out its
 * outcome. core/slot-rules explains the marks.
 */
import type { ICompare, IRequestOp, IResponseHeader, ITxnRequest, ITxnResponse } from 'etcd3';
import type { Candidacy } from '../core/campaign-state.ts';
import { markOf, type Fate, type Sight } from '../core/slot-rules.ts';
import { RESERVED_NAME } from '../core/names.ts';
import { createdAt } from './election-keys.ts';
import type { UserWrite } from './fenced-txn.ts';
import type { CallLimits, EtcdTransport } from './transport.ts';

export interface SlottedWrite {
  readonly key: string;
  readonly leaseId: string;
  readonly seenRevision: bigint;
  readonly writeId: string;
}

export type SlottedAnswer =
  | { readonly type: 'committed'; readonly answer: ITxnResponse }
  | { readonly type: 'fenced' }
  /** The term is current, but the slot has changed since we last saw it. Nothing was written. */
  | { readonly type: 'moved'; readonly sight: Sight };

export interface SlotAnswer {
  readonly header: IResponseHeader;
  readonly sight: Sight;
}

/**
 * The key of a slot. It is outside the election's prefix, because candidates of Go's `concurrency` package would wait
 * for every key under that prefix.
 */
export function slotKey({ key }: Candidacy, number: number): string {
  const [, prefix = '', name, lease] = /^(.*\/)?([^/]+)\/([^/]+)$/s.exec(key)!;
  return `${prefix}${RESERVED_NAME}/${name}/${lease}/${number}`;
}

/** The folder of the slots, to which the etcd role needs read and write access. */
export const slotFolder = (slot: string): string => slot.replace(/[^/]+\/[^/]+$/, '');

/** @throws {EtcdError} */
export async function commitInSlot(
  transport: EtcdTransport,
  candidacy: Candidacy,
  write: SlottedWrite,
  { call, txn, options: userOptions }: UserWrite,
  limits: CallLimits,
): Promise<SlottedAnswer> {
  const marked = (fate: Fate, ops: IRequestOp[]): IRequestOp[] => [mark(write, fate), ...ops];
  const isNested = txn.compare.length > 0;
  const success = marked('then', txn.success);
  const nested = { compare: txn.compare, success, failure: marked('else', txn.failure) };
  const request: ITxnRequest = {
    compare: [createdAt(candidacy.key, candidacy.createRevision), lastSeen(write)],
    success: isNested ? [{ request_txn: nested }] : success,
    failure: [look(write), { request_range: { key: Buffer.from(candidacy.key), keys_only: true } }],
  };
  const answer = await transport.unary(
    call,
    (client, options) => client.kv.txn(request, { ...userOptions, ...options }),
    limits,
  );
  if (answer.succeeded) {
    const { succeeded, responses } = isNested ? answer.responses[0]!.response_txn : answer;
    const ofUser = { header: answer.header, succeeded, responses: responses.slice(1) };
    return { type: 'committed', answer: ofUser };
  }
  const [candidate] = answer.responses[1]!.response_range.kvs;
  const isCurrent = candidate?.create_revision === candidacy.createRevision.toString();
  return isCurrent ? { type: 'moved', sight: sightOf(answer) } : { type: 'fenced' };
}

/**
 * Puts the mark "never" into the slot, unless the write or an earlier "never" has arrived. Safe to repeat. Uses the
 * lane `settle`, because the lane `caller` does not dial an unreachable host.
 *
 * @returns the contents of the slot after that.
 * @throws {EtcdError}
 */
export async function settleInSlot(
  transport: EtcdTransport,
  write: SlottedWrite,
  limits: CallLimits,
): Promise<SlotAnswer> {
  const answer = await transport.unary(
    `settle a write in ${write.key}`,
    (client, options) =>
      client.kv.txn(
        { compare: [lastSeen(write)], success: [mark(write, 'never')], failure: [look(write)] },
        options,
      ),
    { ...limits, isTimely: true, isHedged: true, lane: 'settle' },
  );
  const { header } = answer;
  const sight = answer.succeeded
    ? { revision: BigInt(header.revision), value: markOf(write.writeId, 'never') }
    : sightOf(answer);
  return { header, sight };
}

/** Reads a slot. A write that is still under way may change it later. @throws {EtcdError} */
export async function lookIntoSlot(
  transport: EtcdTransport,
  { key }: SlottedWrite,
  limits: CallLimits,
): Promise<SlotAnswer> {
  const answer = await transport.unary(
    `look into ${key}`,
    (client, options) => client.kv.range({ key: Buffer.from(key) }, options),
    { ...limits, isTimely: true, isHedged: true, lane: 'settle' },
  );
  return { header: answer.header, sight: sightIn(answer.kvs) };
}

const lastSeen = ({ key, seenRevision }: SlottedWrite): ICompare => ({
  key: Buffer.from(key),
  target: 'Mod',
  result: 'Equal',
  mod_revision: seenRevision.toString(),
});

const mark = ({ key, leaseId, writeId }: SlottedWrite, fate: Fate): IRequestOp => ({
  request_put: { key: Buffer.from(key), value: Buffer.from(markOf(writeId, fate)), lease: leaseId },
});

const look = ({ key }: SlottedWrite): IRequestOp => ({ request_range: { key: Buffer.from(key) } });

const sightOf = ({ responses }: ITxnResponse): Sight => sightIn(responses[0]!.response_range.kvs);

const sightIn = ([kv]: readonly { mod_revision: string; value: Buffer }[]): Sight => ({
  revision: BigInt(kv?.mod_revision ?? 0),
  value: kv?.value.toString() ?? '',
});
