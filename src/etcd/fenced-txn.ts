/**
 * A transaction that commits only while the key of its term exists. After a lost answer, etcd3 would send it again. We
 * do not, because a fenced write must not happen twice.
 *
 * The outer condition is the fence. If the fence fails, nothing is written. The user's comparisons and branches run in
 * a nested transaction. If the user's comparisons stood beside the fence, a failed fence would run the user's `else`
 * branch.
 */
import { ComparatorBuilder, type ICompare, type IRequestOp, type ITxnResponse, type KVClient } from 'etcd3';
import type { Candidacy } from '../core/campaign-state.ts';
import { InvalidInputError } from '../errors.ts';
import { isObject, shown } from '../core/shown.ts';
import { EtcdError } from './etcd-error.ts';
import { isCandidateKey } from './candidate-kv.ts';
import { createdAt } from './election-keys.ts';
import type { CallLimits, EtcdTransport } from './transport.ts';

type Namespace = ConstructorParameters<typeof ComparatorBuilder>[1];
type UserOptions = Parameters<KVClient['txn']>[1];

/** A namespace without a prefix: keys are used unchanged. */
const asTheyAre = { applyKey: (key: Buffer) => key } as unknown as Namespace;

export interface UserTxn {
  readonly compare: ICompare[];
  readonly success: IRequestOp[];
  readonly failure: IRequestOp[];
}

export interface UserWrite {
  /** For error messages: `term.put()`, `term.delete()` or `term.txn()`. */
  readonly call: string;
  readonly txn: UserTxn;
  readonly options: UserOptions;
}

/**
 * The builder for the user's transaction. It has a method `then`, so `await` takes the builder for a promise and would
 * wait for ever. Such an `await` rejects with advice instead.
 */
export class FencedTxn extends ComparatorBuilder {
  readonly #election: string;

  readonly #onCommit: () => void;

  /** @param onCommit called before the commit; may throw. */
  constructor(
    election: string,
    onCommit: () => void,
    send: (txn: UserTxn, options: UserOptions) => Promise<ITxnResponse>,
  ) {
    const sender: Pick<KVClient, 'txn'> = {
      txn: ({ compare = [], success = [], failure = [] }, options) =>
        send({ compare, success, failure }, options),
    };
    super(sender as KVClient, asTheyAre);
    this.#election = election;
    this.#onCommit = onCommit;
  }

  override commit(): Promise<ITxnResponse> {
    this.#onCommit();
    return super.commit();
  }

  // oxlint-disable-next-line unicorn/no-thenable -- etcd3's builder has it; here it does no harm
  override then(...clauses: Parameters<ComparatorBuilder['then']>): this {
    if (!clauses.some((clause: unknown) => typeof clause === 'function')) return super.then(...clauses);
    const error = new InvalidInputError(
      this.#election,
      `a transaction of election "${this.#election}" was awaited, or returned from an async function, before it was committed: call .commit(), and await that. Nothing was written`,
    );
    const reject: unknown = clauses[1];
    if (typeof reject !== 'function') throw error;
    reject(error);
    return this;
  }
}

export const putOf = (key: string | Uint8Array, value: string | Uint8Array): IRequestOp => ({
  request_put: { key: Buffer.from(key), value: Buffer.from(value) },
});

export const deleteOf = (key: string | Uint8Array): IRequestOp => ({
  request_delete_range: { key: Buffer.from(key) },
});

/**
 * @throws {InvalidInputError} if something is not an operation, or puts a key among the candidates. Nobody would delete
 *   such a key, and it would lead when it became the first in the queue.
 */
export function checkOperations(election: string, keyPrefix: string, { success, failure }: UserTxn): void {
  const refuse = (expected: string, came: string): never => {
    throw new InvalidInputError(
      election,
      `a write under a term of election "${election}": expected ${expected}, got ${came}`,
    );
  };
  for (const op of [...success, ...failure]) {
    if (!isObject(op)) refuse("operations, such as client.put('key').value('x')", shown(op));
    const key = (op.request_put as { key?: Buffer } | undefined)?.key?.toString();
    if (key !== undefined && isCandidateKey(keyPrefix, key))
      refuse(
        `a key that does not begin with "${keyPrefix}", or that has another "/" after it (otherwise each key there is a candidate)`,
        shown(key),
      );
  }
}

/**
 * Sends the transaction; sends it again only if it certainly had no effect.
 *
 * @returns the answer to the user's part; undefined if the fence failed and nothing was written.
 * @throws {EtcdError}
 */
export async function commitFenced(
  transport: EtcdTransport,
  candidacy: Candidacy,
  { call, txn, options: userOptions }: UserWrite,
  limits: CallLimits,
): Promise<ITxnResponse | undefined> {
  const isNested = !mayOmitNesting(txn);
  const request = {
    compare: [createdAt(candidacy.key, candidacy.createRevision)],
    success: isNested ? [{ request_txn: txn }] : txn.success,
  };
  const answer = await transport
    .unary(call, (client, options) => client.kv.txn(request, { ...userOptions, ...options }), limits)
    .catch((fault: unknown): never => {
      if (!(fault instanceof EtcdError) || !isRead(txn)) throw fault;
      throw new EtcdError(fault.kind, fault.message, false, { cause: fault }); // a read changes nothing, even if its answer is lost
    });
  if (!answer.succeeded) return undefined;
  return isNested ? { ...answer.responses[0]!.response_txn, header: answer.header } : answer;
}

const isRead = ({ success, failure }: UserTxn): boolean =>
  [...success, ...failure].every(({ request_range }) => request_range !== undefined);

/**
 * Whether the user's operations may stand directly behind the fence. If the user compares nothing, nesting is usually not
 * needed. We avoid it then, because etcd before 3.4.42, 3.5.28 and 3.6.9 checks no permissions of nested operations.
 *
 * A transaction without operations, or with only serializable reads, needs nesting. Otherwise the member that is
 * asked would answer from its own state. That state may be old, and the fence would mean nothing. A nested
 * transaction goes through etcd's leader.
 */
const mayOmitNesting = ({ compare, success }: UserTxn): boolean =>
  compare.length === 0 && success.some((op) => op.request_range?.serializable !== true);
