/**
 * A transaction that commits only while one term is the leader, and is sent once: etcd3 repeats writes whose
 * answer was lost, and a fenced write that lands twice is as wrong as one that lands late.
 *
 * The fence is the outer condition, and a failed fence writes nothing. What the user compares, and both of its
 * branches, run in a nested transaction: in one list with the fence, `else` would run after the term is over.
 */
import { ComparatorBuilder, type ICompare, type IRequestOp, type ITxnResponse, type KVClient } from 'etcd3';
import type { Candidacy } from '../core/campaign-state.ts';
import { InvalidInputError } from '../errors.ts';
import { isObject, shown } from '../core/shown.ts';
import { createdAt, isCandidateKey } from './election-keys.ts';
import type { CallLimits, EtcdTransport } from './transport.ts';

type Namespace = ConstructorParameters<typeof ComparatorBuilder>[1];
type UserOptions = Parameters<KVClient['txn']>[1];

/** Keys are taken as they are: the client that is passed in has no prefix. */
const asTheyAre = { applyKey: (key: Buffer) => key } as unknown as Namespace;

/** What the user put into the builder. */
export interface UserTxn {
  readonly compare: ICompare[];
  readonly success: IRequestOp[];
  readonly failure: IRequestOp[];
}

/**
 * What the user builds. It has a method `then`, so `await` and `return` in an async function take it for a promise: the
 * call that they make is answered with advice, because otherwise they would wait for ever.
 */
export class FencedTxn extends ComparatorBuilder {
  readonly #election: string;

  readonly #onCommit: () => void;

  /**
   * @param onCommit called first; may throw.
   * @param send sends what has been built.
   */
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
 * @throws {InvalidInputError} for what is no operation, and for a put where candidates stand: such a key has no lease
 *   that ends, so it would stand in the queue for ever, and lead when its turn comes.
 */
export function checkOperations(election: string, electionKeys: string, { success, failure }: UserTxn): void {
  const refuse = (expected: string, came: string): never => {
    throw new InvalidInputError(
      election,
      `a write under a term of election "${election}": expected ${expected}, got ${came}`,
    );
  };
  for (const op of [...success, ...failure]) {
    if (!isObject(op)) refuse("operations, such as client.put('key').value('x')", shown(op));
    const key = (op.request_put as { key?: Buffer } | undefined)?.key?.toString();
    if (key !== undefined && isCandidateKey(electionKeys, key))
      refuse(`a key that does not begin with "${electionKeys}" (each key there is a candidate)`, shown(key));
  }
}

/**
 * Sends it once.
 *
 * @returns the answer to the user's part; undefined if the fence failed, and nothing was written.
 * @throws {EtcdError}
 */
export async function commitFenced(
  transport: EtcdTransport,
  candidacy: Candidacy,
  txn: UserTxn,
  userOptions: UserOptions,
  limits: CallLimits,
): Promise<ITxnResponse | undefined> {
  const isNested = !isExactWithoutNesting(txn);
  const request = {
    compare: [createdAt(candidacy.key, candidacy.createRevision)],
    success: isNested ? [{ request_txn: txn }] : txn.success,
  };
  const answer = await transport.unary(
    `fenced transaction of ${candidacy.key}`,
    (client, options) => client.kv.txn(request, { ...userOptions, ...options }),
    limits,
  );
  if (!answer.succeeded) return undefined;
  return isNested ? { ...answer.responses[0]!.response_txn, header: answer.header } : answer;
}

/**
 * Without comparisons of the user's the fence is the only condition, and etcd older than 3.4.42 and 3.5.28 checks
 * permissions only of operations that are not nested. Where a member may answer from its own state (no operations, or
 * only serializable reads) so would be the fence: nested, it goes through etcd's leader.
 */
const isExactWithoutNesting = ({ compare, success }: UserTxn): boolean =>
  compare.length === 0 && success.some((op) => op.request_range?.serializable !== true);
