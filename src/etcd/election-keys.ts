/**
 * Creates, changes and deletes our key in the queue of an election, and reads the queue.
 *
 * Keys are `<prefix><name>/<lease ID in hex>`, and values are plain bytes, as in Go's `concurrency.Election`. So
 * `etcdctl elect -l <prefix><name>` shows our leader, and candidates of Go programs share our queue.
 */
import type { ICompare, IRangeRequest, IRangeResponse, IRequestOp } from 'etcd3';
import type { Candidacy } from '../core/campaign-state.ts';
import { byAge, CandidateRecord, type QueuedCandidate } from '../core/candidate-queue.ts';
import { SHOWN } from '../core/queue-part.ts';
import { clock } from '../util/clock.ts';
import { candidateKey, candidatesOf, isCandidateKey } from './candidate-kv.ts';
import { EtcdError, isTooLarge } from './etcd-error.ts';
import type { CallLimits, EtcdTransport } from './transport.ts';

export interface Snapshot {
  readonly revision: bigint;
  readonly candidates: readonly QueuedCandidate[];
}

/** The queue after we entered. Our candidate is the last. The answer may leave out candidates directly before ours. */
export interface Entry extends Snapshot {
  /** How many candidates the answer leaves out. */
  readonly hidden: number;
  readonly candidacy: Candidacy;
}

export const electionPrefix = (prefix: string, name: string): string => `${prefix}${name}/`;

/** The first key after all keys with this prefix. The prefix ends in `/`. */
export const endOf = (keyPrefix: string): Buffer => Buffer.from(`${keyPrefix.slice(0, -1)}0`);

export interface Entrant {
  readonly keyPrefix: string;
  readonly leaseId: string;
  readonly value: string;
}

/**
 * Enters this election together with others, in one transaction.
 *
 * @returns undefined if this entry must be sent alone.
 * @throws {EtcdError}
 */
export type EnterTogether = (entrant: Entrant) => Promise<BatchOutcome<Entry>> | undefined;

/**
 * The result of one request in a batch. `alone`: nothing happened, so send the request alone. `unseen`: etcd applied
 * the request, but the answer was too large to read.
 */
export type BatchOutcome<R> = { readonly done: R } | 'alone' | 'unseen';

/**
 * Puts our key and reads the first candidates, in one transaction. If our key already exists, deletes it first. The
 * creation revision of the old key may have been the fencing token of an earlier term. A lost answer, a lost release or
 * a restored snapshot may leave such a key behind.
 *
 * @param together enters several elections in one transaction. Tried once, before our entry is sent alone.
 * @throws {EtcdError}
 */
export async function enter(
  transport: EtcdTransport,
  entrant: Entrant,
  limits: CallLimits,
  together?: EnterTogether,
): Promise<Entry> {
  const { keyPrefix } = entrant;
  const first = (await together?.(entrant)) ?? 'alone';
  if (typeof first === 'object') return first.done;
  let mayExist = first === 'unseen';
  let keysOnly = false;
  for (let attempt = 1; attempt <= ENTER_ATTEMPTS; attempt++) {
    const answer: PutOutcome | undefined = await putIfAbsent(transport, entrant, keysOnly, limits).catch(
      (error: unknown) => {
        if (!isTooLarge(error) || keysOnly) throw mayExist ? asApplied(error) : error;
        return undefined;
      },
    );
    // Undefined means that the answer was too large. etcd has applied the transaction, so the next try finds our key.
    keysOnly ||= answer === undefined;
    mayExist ||= answer === undefined;
    if (answer === undefined) continue;
    if (answer.isPut) return answer.entry;
    // `mayExist` stays true after the delete. If a later try fails, the caller looks for our key although it is gone. That does no harm.
    mayExist = true;
    await release(transport, answer.found, limits, 'delete our old key').catch((error: unknown) => {
      throw asApplied(error);
    });
  }
  throw new EtcdError('unavailable', `enter ${keyPrefix}: another writer keeps creating our key`, mayExist);
}

/**
 * @returns the entries, in order; undefined if nothing was put, because one of the keys already exists.
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
      candidatePut(entrant),
      { request_range: queueOf(entrant.keyPrefix, false, SHOWN) },
    ]),
  };
  const answer = await transport.unary(
    `enter ${entrants.length} elections`,
    (client, options) => client.kv.txn(request, options),
    { ...limits, proves: 'revision-and-term' },
  );
  if (!answer.succeeded) return undefined;
  return entrants.map((entrant, index) =>
    entryOf(entrant, answer.responses[2 * index + 1]!.response_range, answer.header.revision, false),
  );
}

type PutOutcome =
  { readonly isPut: true; readonly entry: Entry } | { readonly isPut: false; readonly found: Candidacy };

/** The most tries to enter. A large answer and an existing key each cost one try. */
const ENTER_ATTEMPTS = 4;

const absent = ({ keyPrefix, leaseId }: Entrant): ICompare => createdAt(candidateKey(keyPrefix, leaseId), 0n);

const candidatePut = ({ keyPrefix, leaseId, value }: Entrant): IRequestOp => ({
  request_put: {
    key: Buffer.from(candidateKey(keyPrefix, leaseId)),
    value: Buffer.from(value),
    lease: leaseId,
  },
});

async function putIfAbsent(
  transport: EtcdTransport,
  entrant: Entrant,
  keysOnly: boolean,
  limits: CallLimits,
): Promise<PutOutcome> {
  const { keyPrefix, leaseId } = entrant;
  const key = candidateKey(keyPrefix, leaseId);
  const request = {
    compare: [absent(entrant)],
    success: [candidatePut(entrant), { request_range: queueOf(keyPrefix, keysOnly, SHOWN) }],
    failure: [{ request_range: { key: Buffer.from(key) } }],
  };
  const answer = await transport.unary(
    `enter ${keyPrefix}`,
    (client, options) => client.kv.txn(request, options),
    { ...limits, proves: 'revision-and-term' },
  );
  const range = answer.responses.at(-1)!.response_range;
  if (answer.succeeded)
    return { isPut: true, entry: entryOf(entrant, range, answer.header.revision, keysOnly) };
  const createRevision = BigInt(range.kvs[0]!.create_revision);
  return { isPut: false, found: { key, leaseId, createRevision } };
}

/** The revision of the transaction is the creation revision of the key that it put. */
function entryOf(
  { keyPrefix, leaseId, value }: Entrant,
  range: IRangeResponse,
  revision: string,
  keysOnly: boolean,
): Entry {
  const key = candidateKey(keyPrefix, leaseId);
  const snapshot = snapshotOf(keyPrefix, range, revision, keysOnly);
  const candidacy = { key, leaseId, createRevision: snapshot.revision };
  const left = Number(range.count) - range.kvs.length;
  if (left <= 0) return { ...snapshot, hidden: 0, candidacy };
  const own = new CandidateRecord({ key, value, fencingToken: snapshot.revision, leaseId });
  return { ...snapshot, candidates: [...snapshot.candidates, own], hidden: left - 1, candidacy };
}

export async function readQueue(
  transport: EtcdTransport,
  keyPrefix: string,
  limits: CallLimits,
): Promise<Snapshot> {
  return unlessTooLarge(async (keysOnly) => {
    const answer = await transport.unary(
      `read ${keyPrefix}`,
      (client, options) => client.kv.range(queueOf(keyPrefix, keysOnly), options),
      { ...limits, isHedged: true, proves: 'revision' },
    );
    return snapshotOf(keyPrefix, answer, answer.header.revision, keysOnly);
  });
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
    'announce the value',
    (client, options) =>
      client.kv.txn(
        { compare: [createdAt(candidacy.key, candidacy.createRevision)], success: [put] },
        options,
      ),
    limits,
  );
  return answer.succeeded;
}

/** Deletes our key, if it is still the one that we created. */
export async function release(
  transport: EtcdTransport,
  candidacy: Candidacy,
  limits: CallLimits,
  what = 'delete our key',
): Promise<void> {
  const { key, createRevision } = candidacy;
  const remove: IRequestOp = { request_delete_range: { key: Buffer.from(key) } };
  await transport.unary(
    `${what} ${key}`,
    (client, options) =>
      client.kv.txn({ compare: [createdAt(key, createRevision)], success: [remove] }, options),
    { ...limits, isHedged: true },
  );
}

/**
 * Deletes our keys, if all are still the ones that we created.
 *
 * @returns undefined if nothing was deleted, because one of the keys is no longer ours.
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
    `delete ${candidacies.length} keys of ours`,
    (client, options) => client.kv.txn(request, options),
    { ...limits, isHedged: true },
  );
  return answer.succeeded ? candidacies.map(() => true as const) : undefined;
}

/**
 * Deletes the key that an unanswered call may have put. The read and the delete together take at most the limit of
 * one call.
 *
 * @param isStillPending is asked before the delete, because a new candidacy may use the same key by then.
 */
export async function releaseUnconfirmed(
  transport: EtcdTransport,
  keyPrefix: string,
  leaseId: string,
  limits: CallLimits,
  isStillPending: () => boolean,
): Promise<void> {
  const key = candidateKey(keyPrefix, leaseId);
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

/** The condition that the key was created at this revision, and not deleted since. */
export const createdAt = (key: string, revision: bigint): ICompare => ({
  key: Buffer.from(key),
  target: 'Create',
  result: 'Equal',
  create_revision: revision.toString(),
});

/** Reads keys with their values. If that answer is too large for gRPC (4 MB), reads the keys without values. */
export async function unlessTooLarge<T>(read: (keysOnly: boolean) => Promise<T>): Promise<T> {
  try {
    return await read(false);
  } catch (error) {
    if (!isTooLarge(error)) throw error;
  }
  return await read(true);
}

/**
 * Says in the error that the call may have had an effect. An earlier try may have created our key.
 */
const asApplied = (error: unknown): unknown =>
  error instanceof EtcdError ? new EtcdError(error.kind, error.message, true, { cause: error }) : error;

type QueueRange = Required<
  Pick<IRangeRequest, 'key' | 'range_end' | 'keys_only' | 'limit' | 'sort_target' | 'sort_order'>
>;

/** @param limit how many of the first keys to read. Default: all. */
export const queueOf = (keyPrefix: string, keysOnly: boolean, limit = 0): QueueRange =>
  ({
    keys_only: keysOnly,
    limit: limit.toString(),
    key: Buffer.from(keyPrefix),
    range_end: endOf(keyPrefix),
    sort_target: 'Create',
    sort_order: 'Ascend',
  }) as const;

function snapshotOf(keyPrefix: string, range: IRangeResponse, revision: string, keysOnly: boolean): Snapshot {
  return {
    revision: BigInt(revision),
    candidates: candidatesOf(range.kvs, keysOnly)
      .filter(({ key }) => isCandidateKey(keyPrefix, key))
      .sort(byAge),
  };
}
