/**
 * The writes of a term to etcd: announcing another value, and fenced writes.
 */
import type { ComparatorBuilder, IRequestOp, ITxnResponse } from 'etcd3';
import type { Candidacy } from '../core/campaign-state.ts';
import { proclaim } from '../etcd/election-keys.ts';
import { EtcdError } from '../etcd/etcd-error.ts';
import {
  checkOperations,
  commitFenced,
  deleteOf,
  FencedTxn,
  putOf,
  type UserWrite,
} from '../etcd/fenced-txn.ts';
import type { CallLimits, EtcdTransport } from '../etcd/transport.ts';
import { InvalidInputError, OutcomeUnknownError } from '../errors.ts';
import { settleError, writeError } from '../etcd/user-errors.ts';
import { shown } from '../core/shown.ts';
import { checkBytes, checkTxnOptions, checkValue } from '../input-checks.ts';
import { PendingWrites, type WriteLimits } from './pending-writes.ts';
import type { EventLog } from '../logging/event-log.ts';
import { CALL_LIMIT_MS, type Session } from '../client/session.ts';
import type { LiveTerm, TermTools } from './live-term.ts';
import type { SettledWrite, TxnOptions } from './term.ts';
import { UncommittedTxns } from './uncommitted-txns.ts';
import { UnsettledError, writeSlotsOf, type WriteSlots } from './write-slots.ts';
import { WriteFailures } from './write-failures.ts';

/** How long a fenced write may stay unanswered, in milliseconds. After that its outcome is unknown. */
const WRITE_LIMIT_MS = 2 * CALL_LIMIT_MS;

export interface WriterTools {
  readonly election: string;
  readonly keyPrefix: string;
  readonly transport: EtcdTransport;
  readonly settings: { readonly drainTimeoutMs: number };
  readonly eventLog: EventLog;
}

export interface Announcing {
  pass(signal: AbortSignal): Promise<void>;
  /** etcd has acknowledged the value. */
  done(value: string): void;
}

export class TermWriter implements TermTools {
  readonly #tools: WriterTools;
  readonly #session: Session;
  readonly #candidacy: Candidacy;
  readonly #announcing: Announcing;
  readonly #pending: PendingWrites;
  readonly #uncommitted: UncommittedTxns;
  readonly #failures: WriteFailures;
  #unsent: { value: string; readonly sent: Promise<void> } | undefined;
  #lastAnnouncement: Promise<unknown> = Promise.resolve();

  constructor(tools: WriterTools, session: Session, candidacy: Candidacy, announcing: Announcing) {
    this.#tools = tools;
    this.#session = session;
    this.#candidacy = candidacy;
    this.#announcing = announcing;
    this.#pending = new PendingWrites(tools.settings.drainTimeoutMs);
    const { election, eventLog } = tools;
    const of = { election, fencingToken: candidacy.createRevision.toString() };
    this.#uncommitted = new UncommittedTxns(() => eventLog.report({ type: 'txn.uncommitted', ...of }));
    this.#failures = new WriteFailures((counts) =>
      eventLog.report({ type: 'write.failed', ...of, ...counts }),
    );
  }

  remainingMs(): number {
    return this.#session.remainingMs();
  }

  get validUntilMs(): number {
    return this.#session.validUntilMs;
  }

  ended(): void {
    this.#pending.end();
    this.#failures.draining();
    this.#uncommitted.ended();
  }

  closed(): void {
    this.#failures.ended();
  }

  /** Sends one announcement at a time. Calls share an announcement that is not sent yet, and the newest value wins. */
  proclaim(term: LiveTerm, value: string): Promise<void> {
    checkValue(value, this.#tools.election);
    this.#mustBeCurrent(term);
    if (this.#unsent === undefined) {
      this.#unsent = { value, sent: this.#announce(term) };
      this.#lastAnnouncement = this.#unsent.sent.catch(() => undefined);
    } else this.#unsent.value = value;
    return this.#unsent.sent;
  }

  async #announce(term: LiveTerm): Promise<void> {
    await Promise.all([this.#lastAnnouncement, this.#announcing.pass(term.endSignal)]);
    const { value } = this.#unsent!;
    this.#unsent = undefined;
    this.#mustBeCurrent(term);
    await this.#write(term, async ({ settling }) => {
      const limits: CallLimits = {
        withinMs: CALL_LIMIT_MS,
        placeWithinMs: CALL_LIMIT_MS,
        signal: settling,
        lane: 'caller',
      };
      const isOurs = await proclaim(this.#tools.transport, this.#candidacy, value, limits).catch(
        (fault: unknown) => {
          // Without our lease, our key is gone too.
          if (fault instanceof EtcdError && fault.kind === 'lease-gone') return false;
          throw fault;
        },
      );
      return isOurs || undefined;
    });
    this.#announcing.done(value);
  }

  txn(term: LiveTerm, options?: TxnOptions): ComparatorBuilder {
    const { election } = this.#tools;
    const { exactlyOnce } = checkTxnOptions(options, election);
    const refusal = exactlyOnce ? this.#slots.refusal : undefined;
    if (refusal !== undefined) throw writeError(election, term.fencingToken, refusal);
    const txn = new FencedTxn(
      election,
      () => {
        this.#uncommitted.committed(txn);
        this.#mustHoldKey(term);
      },
      (request, userOptions) =>
        this.#commit(term, { call: 'term.txn()', txn: request, options: userOptions }, exactlyOnce),
    );
    this.#uncommitted.opened(txn);
    return txn;
  }

  put(
    term: LiveTerm,
    key: string | Uint8Array,
    value: string | Uint8Array,
    options?: TxnOptions,
  ): Promise<void> {
    const { election } = this.#tools;
    checkBytes(key, `key for put() in election "${election}"`, election, 1);
    checkBytes(value, `value for put() in election "${election}"`, election);
    return this.#writeOne(term, 'term.put()', putOf(key, value), options);
  }

  delete(term: LiveTerm, key: string | Uint8Array, options?: TxnOptions): Promise<void> {
    const { election } = this.#tools;
    checkBytes(key, `key for delete() in election "${election}"`, election, 1);
    return this.#writeOne(term, 'term.delete()', deleteOf(key), options);
  }

  #writeOne(term: LiveTerm, call: string, op: IRequestOp, options: TxnOptions | undefined): Promise<void> {
    const { exactlyOnce } = checkTxnOptions(options, this.#tools.election);
    this.#mustHoldKey(term);
    const txn = { compare: [], success: [op], failure: [] };
    return this.#commit(term, { call, txn, options: undefined }, exactlyOnce).then(() => undefined);
  }

  async settle(term: LiveTerm, writeId: string): Promise<SettledWrite> {
    const { election } = this.#tools;
    try {
      const fate = typeof writeId === 'string' ? await this.#slots.settle(writeId) : undefined;
      if (fate === undefined)
        throw new InvalidInputError(
          election,
          `settle() in election "${election}": expected the writeId of an OutcomeUnknownError of this lease, got ${shown(writeId)}`,
        );
      if (fate === 'unknowable')
        throw new OutcomeUnknownError(
          election,
          `the outcome of write ${writeId} of election "${election}" can no longer be found out: etcd no longer has the record of it, for example because the lease is gone`,
          { writeId },
        );
      return { happened: fate !== 'never', succeeded: fate === 'then' };
    } catch (error) {
      if (!(error instanceof EtcdError)) throw error;
      throw settleError(election, writeId, error);
    }
  }

  /** Successive terms under one lease share its slots. */
  get #slots(): WriteSlots {
    return writeSlotsOf(this.#session, this.#tools.keyPrefix, this.#tools.transport);
  }

  /** @throws {LeadershipLostError} */
  #mustBeCurrent(term: LiveTerm): void {
    if (!term.isCurrent()) throw term.lost();
  }

  /** Permits writes in the drain too: our key still exists, so no other term can begin. @throws {LeadershipLostError} */
  #mustHoldKey(term: LiveTerm): void {
    if (!term.holdsKey()) throw term.lost();
  }

  #commit(term: LiveTerm, write: UserWrite, exactlyOnce: boolean): Promise<ITxnResponse> {
    const { election, keyPrefix, transport } = this.#tools;
    checkOperations(election, keyPrefix, write.txn);
    return this.#write(term, (limits) => {
      const { settling } = limits;
      return exactlyOnce
        ? this.#slots.commit(this.#candidacy, write, limits)
        : commitFenced(transport, this.#candidacy, write, {
            withinMs: WRITE_LIMIT_MS,
            placeWithinMs: CALL_LIMIT_MS,
            signal: settling,
            lane: 'caller',
          });
    });
  }

  /**
   * Sends a write under the term, and turns its failures into public errors.
   *
   * @param send resolves with undefined if the fence failed.
   */
  async #write<T>(term: LiveTerm, send: (limits: WriteLimits) => Promise<T | undefined>): Promise<T> {
    const answer = await this.#pending.run(send).catch((fault: unknown) => {
      if (!(fault instanceof EtcdError)) throw fault;
      // The write was never sent, because the term had ended.
      if (fault.kind === 'aborted' && !fault.mayHaveHappened) throw term.lost();
      this.#failures.failed({ reason: fault.message, isOutcomeUnknown: fault.mayHaveHappened });
      const writeId = fault instanceof UnsettledError ? fault.writeId : undefined;
      throw writeError(this.#tools.election, term.fencingToken, fault, writeId);
    });
    if (answer === undefined) throw term.lostInEtcd();
    return answer;
  }
}
