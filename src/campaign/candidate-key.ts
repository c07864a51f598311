/**
 * Our key in the queue of one election, under one session at a time: taken, and given up again for certain.
 */
import type { Candidacy } from '../core/campaign-state.ts';
import * as candidacies from '../etcd/election-keys.ts';
import { EtcdError } from '../etcd/etcd-error.ts';
import type { CallLimits, EtcdTransport } from '../etcd/transport.ts';
import type { Release } from '../client/pending-deletes.ts';
import { CALL_LIMIT_MS, type Session } from '../client/session.ts';
import type { SessionPool } from '../client/session-pool.ts';
import { clock } from '../util/clock.ts';

export class CandidateKey {
  readonly #transport: EtcdTransport;
  readonly #electionKeys: string;
  readonly #sessions: SessionPool;
  #session: Session | undefined;
  /** An enter was sent and not answered: our key may be in etcd without our knowing. */
  #unconfirmed = false;
  /** Until when an enter that was not answered may still arrive, and put our key back after we gave it up. */
  #lateUntilMs = 0;
  /** The key of a session that ended: it goes with its lease, unless somebody has taken it off that lease. */
  #abandoned: Candidacy | undefined;

  constructor(transport: EtcdTransport, electionKeys: string, sessions: SessionPool) {
    this.#transport = transport;
    this.#electionKeys = electionKeys;
    this.#sessions = sessions;
  }

  /** The session whose lease the key is on; undefined without one. */
  get session(): Session | undefined {
    return this.#session;
  }

  /**
   * Takes a place at the end of the queue: waits for a session as long as it takes, then one transaction.
   *
   * @throws {EtcdError}
   */
  async take(value: () => string, signal: AbortSignal): Promise<candidacies.Entry> {
    try {
      return await this.#takeUnder(value, signal);
    } catch (error) {
      // The lease went without our noticing. Only a new one can tell whether anything else is wrong.
      if (!(error instanceof EtcdError) || error.kind !== 'lease-gone') throw error;
      return await this.#takeUnder(value, signal);
    }
  }

  async #takeUnder(value: () => string, signal: AbortSignal): Promise<candidacies.Entry> {
    const limits: CallLimits = { withinMs: CALL_LIMIT_MS, signal };
    const session = await this.#sessions.acquire(signal);
    if (session !== this.#session) {
      // The old lease goes, and its key with it.
      this.#unconfirmed = false;
      this.#lateUntilMs = 0;
    }
    this.#session = session;
    let unconfirmedBefore = this.#unconfirmed;
    try {
      await session.pendingDeletes.flush(
        candidacies.candidateKey(this.#electionKeys, session.leaseId),
        limits,
      );
      this.#unconfirmed = true;
      const entrant = { leaseId: session.leaseId, value: value() };
      const entry = await candidacies.enter(this.#transport, this.#electionKeys, entrant, limits);
      unconfirmedBefore = true; // our key stands: that a later call was never sent takes nothing back
      // A value that changed on the way.
      if (entrant.value !== value())
        await candidacies.proclaim(this.#transport, entry.candidacy, value(), limits);
      this.#unconfirmed = false;
      this.#deleteAbandoned(entry, session, limits);
      return entry;
    } catch (error) {
      if (error instanceof EtcdError && !error.mayHaveHappened) this.#unconfirmed = unconfirmedBefore;
      if (this.#unconfirmed) this.#lateUntilMs = clock.now() + session.ttlMs;
      if (error instanceof EtcdError && error.kind === 'lease-gone') session.end('lease-lost');
      throw error;
    }
  }

  /**
   * An old key of ours that hangs on no lease of ours would stay for ever, and no replica would lead. If the delete
   * fails, the next renewal repeats it.
   */
  #deleteAbandoned({ candidates }: candidacies.Entry, session: Session, limits: CallLimits): void {
    const old = this.#abandoned;
    this.#abandoned = undefined;
    if (old === undefined) return;
    const isLeft = candidates.some(
      ({ key, fencingToken, leaseId }) =>
        key === old.key && fencingToken === old.createRevision && leaseId !== old.leaseId,
    );
    if (!isLeft) return;
    session.pendingDeletes.add(old.key, (within) => candidacies.release(this.#transport, old, within), 0);
    session.pendingDeletes.flush(old.key, limits).catch(() => undefined);
  }

  /**
   * Gives the key up, only if it is still the one we put there. Where that is not acknowledged, the session goes on
   * trying: a key left behind on a lease that lives for others would lead for nobody.
   *
   * @param candidacy undefined where we never learnt whether we had entered.
   * @param isDeleted whether etcd has told that the key is deleted.
   * @returns whether there was something to give up: false where the lease, or an operator, took it already.
   * @throws {EtcdError} where it could not be acknowledged now.
   */
  async giveUp(candidacy: Candidacy | undefined, isDeleted: boolean): Promise<boolean> {
    const session = this.#session;
    const unconfirmed = candidacy === undefined && this.#unconfirmed;
    const enteredLateUntilMs = this.#lateUntilMs;
    this.#session = undefined;
    this.#unconfirmed = false;
    this.#lateUntilMs = 0;
    if (session?.isValid() === false && !isDeleted) this.#abandoned = candidacy;
    if (session === undefined || !session.isValid() || isDeleted || (candidacy === undefined && !unconfirmed))
      return false;
    const key = candidacy?.key ?? candidacies.candidateKey(this.#electionKeys, session.leaseId);
    const releaseUnconfirmed: Release = (limits, isStillPending) =>
      candidacies.releaseUnconfirmed(
        this.#transport,
        this.#electionKeys,
        session.leaseId,
        limits,
        isStillPending,
      );
    const release: Release =
      candidacy === undefined
        ? releaseUnconfirmed
        : (limits) => candidacies.release(this.#transport, candidacy, limits);
    const lateUntilMs = unconfirmed ? clock.now() + session.ttlMs : enteredLateUntilMs;
    const mayComeLate = lateUntilMs > clock.now();
    try {
      // Not under the signal that stopped us: an aborted release would leave the key behind.
      await release({ withinMs: CALL_LIMIT_MS, isTimely: true }, () => true);
      if (mayComeLate) session.pendingDeletes.add(key, releaseUnconfirmed, lateUntilMs);
      return true;
    } catch (error) {
      session.pendingDeletes.add(key, mayComeLate ? releaseUnconfirmed : release, lateUntilMs);
      // Nothing but the end of the lease takes the key out of the way of those who may lead.
      if (error instanceof EtcdError && error.kind === 'refused') session.end('refused');
      throw error;
    }
  }
}
