/**
 * Our key in the queue of an election: enter, proclaim, release; and the queue itself.
 *
 * Keys are `<prefix><name>/<lease ID in hex>` with the value as plain bytes, as Go's `concurrency.Election` lays
 * them out: `etcdctl elect -l <prefix><name>` shows our leader, and theirs queue with ours.
 */
import type { ICompare, IKeyValue, IRangeRequest, IRangeResponse, IRequestOp } from 'etcd3';
import type { Candidacy } from '../core/campaign-state.ts';
import { byAge, QueuedCandidate, type Candidate } from '../core/candidate-queue.ts';
import { SHOWN } from '../core/queue-part.ts';
import { clock } from '../util/clock.ts';
import { EtcdError, isTooLarge } from './etcd-error.ts';
import type { CallLimits, EtcdTransport } from './transport.ts';

/** The candidates of an election at one revision. */
export interface Snapshot {
  readonly revision: bigint;
  readonly candidates: readonly Candidate[];
}

/** Those that are not shown stand between the others and ours, which is the last. */
export interface Entry extends Snapshot {
  /** How many candidates are not shown. */
  readonly hidden: number;
  readonly candidacy: Candidacy;
}

/** Everything that a candidate of this election can be stored under. */
export const electionPrefix = (prefix: string, name: string): string => `${prefix}${name}/`;

export const candidateKey = (electionKeys: string, leaseId: string): string =>
  `${electionKeys}${BigInt(leaseId).toString(16)}`;

/** First key behind all that begin with this prefix, which ends in `/`. */
export const endOf = (electionKeys: string): Buffer => Buffer.from(`${electionKeys.slice(0, -1)}0`);

/** A candidacy to be: its key under our lease, and what it announces. */
export interface Entrant {
  readonly electionKeys: string;
  readonly leaseId: string;
  readonly value: string;
}

/** Enters beside others in one transaction; undefined if there are none. @throws {EtcdError} */
export type EnterTogether = (entrant: Entrant) => Promise<Together<Entry>> | undefined;

/**
 * What one transaction for many did for one of them. `alone`: nothing, so it is to be sent alone. `unseen`: it was done,
 * but the answer was too large to be read.
 */
export type Together<R> = { readonly done: R } | 'alone' | 'unseen';

/**
 * Puts our key and reads the first of the queue, in one transaction. The creation revision is that of this very put, so it was
 * never a fencing token before. A key of ours that stands already is deleted first, whatever brought it there: an earlier try
 * whose answer was lost, a release that did not arrive, or a snapshot that etcd was restored from.
 *
 * @param together tried first, once.
 * @throws {EtcdError}
 */
export async function enter(
  transport: EtcdTransport,
  entrant: Entrant,
  limits: CallLimits,
  together?: EnterTogether,
): Promise<Entry> {
  const { electionKeys } = entrant;
  const first = (await together?.(entrant)) ?? 'alone';
  if (typeof first === 'object') return first.done;
  let mayStand = first === 'unseen';
  let keysOnly = false;
  for (let attempt = 1; attempt <= ENTER_ATTEMPTS; attempt++) {
    const answer: Answer | undefined = await putIfAbsent(transport, entrant, keysOnly, limits).catch(
      (error: unknown) => {
        if (!isTooLarge(error) || keysOnly) throw mayStand ? asApplied(error) : error;
        return undefined;
      },
    );
    // It was applied all the same: the next try finds our key.
    keysOnly ||= answer === undefined;
    mayStand ||= answer === undefined;
    if (answer === undefined) continue;
    if (answer.isPut) return answer.entry;
    mayStand = true; // until the release is acknowledged; then it does no harm to look for the key
    await release(transport, answer.found, limits).catch((error: unknown) => {
      throw asApplied(error);
    });
  }
  throw new EtcdError('unavailable', `enter ${electionKeys}: our key is put there by somebody else`, false);
}

/**
 * Enters elections that are not the same, in one transaction.
 *
 * @returns the entries, in order; undefined if a key stands already, and nothing was put.
 * @throws {EtcdError}
 */
export async function enterAll(
  transport: EtcdTransport,
  entrants: readonly Entrant[],
  limits: CallLimits,
): Promise<Entry[] | undefined> {
  const request = {
    compare: entrants.map(absent),
    success: entrants.flatMap((entrant) => [
      putOf(entrant),
      { request_range: queueOf(entrant.electionKeys, false, SHOWN) },
    ]),
  };
  const answer = await transport.unary(
    `enter ${entrants.length} elections`,
    (client, options) => client.kv.txn(request, options),
    { ...limits, proves: 'revision-and-term' },
  );
  if (!answer.succeeded) return undefined;
  return entrants.map((entrant, index) =>
    entryOf(entrant, answer.responses[2 * index + 1]!.response_range, answer.header.revision),
  );
}

/** Our key is put now, or was found there. */
type Answer =
  { readonly isPut: true; readonly entry: Entry } | { readonly isPut: false; readonly found: Candidacy };

/** An answer that was too large, what we find then or at first, and what a try that was not answered puts there late. */
const ENTER_ATTEMPTS = 4;

const absent = ({ electionKeys, leaseId }: Entrant): ICompare =>
  createdAt(candidateKey(electionKeys, leaseId), 0n);

const putOf = ({ electionKeys, leaseId, value }: Entrant): IRequestOp => ({
  request_put: {
    key: Buffer.from(candidateKey(electionKeys, leaseId)),
    value: Buffer.from(value),
    lease: leaseId,
  },
});

async function putIfAbsent(
  transport: EtcdTransport,
  entrant: Entrant,
  keysOnly: boolean,
  limits: CallLimits,
): Promise<Answer> {
  const { electionKeys, leaseId } = entrant;
  const key = candidateKey(electionKeys, leaseId);
  const request = {
    compare: [absent(entrant)],
    success: [putOf(entrant), { request_range: queueOf(electionKeys, keysOnly, SHOWN) }],
    failure: [{ request_range: { key: Buffer.from(key) } }],
  };
  const answer = await transport.unary(
    `enter ${electionKeys}`,
    (client, options) => client.kv.txn(request, options),
    { ...limits, proves: 'revision-and-term' },
  );
  const range = answer.responses.at(-1)!.response_range;
  if (answer.succeeded) return { isPut: true, entry: entryOf(entrant, range, answer.header.revision) };
  const createRevision = BigInt(range.kvs[0]!.create_revision);
  return { isPut: false, found: { key, leaseId, createRevision } };
}

/** The revision of the transaction is the creation revision of the key that it put. */
function entryOf({ electionKeys, leaseId, value }: Entrant, range: IRangeResponse, revision: string): Entry {
  const key = candidateKey(electionKeys, leaseId);
  const snapshot = snapshotOf(electionKeys, range, revision);
  const candidacy = { key, leaseId, createRevision: snapshot.revision };
  const left = Number(range.count) - range.kvs.length;
  if (left <= 0) return { ...snapshot, hidden: 0, candidacy };
  const own = new QueuedCandidate({ key, value, fencingToken: snapshot.revision, leaseId });
  return { ...snapshot, candidates: [...snapshot.candidates, own], hidden: left - 1, candidacy };
}

/** The queue as etcd has it now: a linearizable read. */
export async function readQueue(
  transport: EtcdTransport,
  electionKeys: string,
  limits: CallLimits,
): Promise<Snapshot> {
  const answer = await unlessTooLarge((keysOnly) =>
    transport.unary(
      `read ${electionKeys}`,
      (client, options) => client.kv.range(queueOf(electionKeys, keysOnly), options),
      { ...limits, isHedged: true, proves: 'revision' },
    ),
  );
  return snapshotOf(electionKeys, answer, answer.header.revision);
}

/** Announces another value under our key. @returns false if the key is no longer ours. */
export async function proclaim(
  transport: EtcdTransport,
  candidacy: Candidacy,
  value: string,
  limits: CallLimits,
): Promise<boolean> {
  const put: IRequestOp = {
    request_put: {
      key: Buffer.from(candidacy.key),
      value: Buffer.from(value),
      lease: candidacy.leaseId,
    },
  };
  const answer = await transport.unary(
    `proclaim under ${candidacy.key}`,
    (client, options) =>
      client.kv.txn(
        { compare: [createdAt(candidacy.key, candidacy.createRevision)], success: [put] },
        options,
      ),
    limits,
  );
  return answer.succeeded;
}

/** Deletes our key, only if it is still the one that we created. */
export async function release(
  transport: EtcdTransport,
  candidacy: Candidacy,
  limits: CallLimits,
): Promise<void> {
  await deleteIf(transport, candidacy.key, createdAt(candidacy.key, candidacy.createRevision), limits);
}

/**
 * Deletes keys of ours, only if each is still the one that we created.
 *
 * @returns undefined if one is not, and nothing was deleted.
 * @throws {EtcdError}
 */
export async function releaseAll(
  transport: EtcdTransport,
  candidacies: readonly Candidacy[],
  limits: CallLimits,
): Promise<true[] | undefined> {
  const request = {
    compare: candidacies.map(({ key, createRevision }) => createdAt(key, createRevision)),
    success: candidacies.map(({ key }) => ({ request_delete_range: { key: Buffer.from(key) } })),
  };
  const answer = await transport.unary(
    `release ${candidacies.length} keys`,
    (client, options) => client.kv.txn(request, options),
    { ...limits, isHedged: true },
  );
  return answer.succeeded ? candidacies.map(() => true as const) : undefined;
}

/**
 * Finds a key that may have been put by a call whose answer we never saw, and deletes exactly that one. Both calls
 * together take no longer than the limit of one.
 *
 * @param isStillOwed asked between the two: our next candidacy stands under the same key.
 */
export async function releaseUnconfirmed(
  transport: EtcdTransport,
  electionKeys: string,
  leaseId: string,
  limits: CallLimits,
  isStillPending: () => boolean,
): Promise<void> {
  const key = candidateKey(electionKeys, leaseId);
  const dueAtMs = clock.now() + limits.withinMs;
  const { kvs } = await transport.unary(
    `look for ${key}`,
    (client, options) => client.kv.range({ key: Buffer.from(key) }, options),
    { ...limits, isHedged: true, proves: 'revision' },
  );
  const own = kvs[0];
  if (own === undefined || own.lease !== leaseId || !isStillPending()) return;
  const candidacy = { key, leaseId, createRevision: BigInt(own.create_revision) };
  await release(transport, candidacy, { ...limits, withinMs: Math.max(0, dueAtMs - clock.now()) });
}

/** The longest value that a candidate may announce, and that is kept of a foreign one, in bytes. */
export const LONGEST_VALUE_BYTES: number = 16 * 1024;

/** A key's value as a person reads it: bytes that are no UTF-8 are shown as U+FFFD. */
export function candidateOf(kv: IKeyValue): Candidate {
  return new QueuedCandidate({
    key: kv.key.toString(),
    value: kv.value.toString('utf8', 0, LONGEST_VALUE_BYTES),
    fencingToken: BigInt(kv.create_revision),
    leaseId: kv.lease,
  });
}

/** Keys further down (`p/q/…` under `p/`) belong to another election. */
export const isCandidateKey = (electionKeys: string, key: string): boolean =>
  key.startsWith(electionKeys) && !key.includes('/', electionKeys.length);

/** Holds while the key is the one that was created at this revision. */
export const createdAt = (key: string, revision: bigint): ICompare => ({
  key: Buffer.from(key),
  target: 'Create',
  result: 'Equal',
  create_revision: revision.toString(),
});

/** gRPC takes messages of 4 MB: where foreign keys fill the prefix with more, we do without their values. */
export async function unlessTooLarge<T>(read: (keysOnly: boolean) => Promise<T>): Promise<T> {
  try {
    return await read(false);
  } catch (error) {
    if (!isTooLarge(error)) throw error;
  }
  return await read(true);
}

/** An earlier try was answered: what it did stands, even if the next one was never sent. */
const asApplied = (error: unknown): unknown =>
  error instanceof EtcdError ? new EtcdError(error.kind, error.message, true, { cause: error }) : error;

type QueueRange = Required<
  Pick<IRangeRequest, 'key' | 'range_end' | 'keys_only' | 'limit' | 'sort_target' | 'sort_order'>
>;

/** @param limit the first so many. Default: all. */
export const queueOf = (electionKeys: string, keysOnly: boolean, limit = 0): QueueRange =>
  ({
    keys_only: keysOnly,
    limit: limit.toString(),
    key: Buffer.from(electionKeys),
    range_end: endOf(electionKeys),
    sort_target: 'Create',
    sort_order: 'Ascend',
  }) as const;

function snapshotOf(electionKeys: string, range: IRangeResponse, revision: string): Snapshot {
  return {
    revision: BigInt(revision),
    candidates: range.kvs
      .map(candidateOf)
      .filter(({ key }) => isCandidateKey(electionKeys, key))
      .sort(byAge),
  };
}

async function deleteIf(
  transport: EtcdTransport,
  key: string,
  compare: ICompare,
  limits: CallLimits,
): Promise<void> {
  const remove: IRequestOp = { request_delete_range: { key: Buffer.from(key) } };
  await transport.unary(
    `release ${key}`,
    (client, options) => client.kv.txn({ compare: [compare], success: [remove] }, options),
    { ...limits, isHedged: true },
  );
}
