/**
 * Our key in the queue of one election, under one session at a time: taken, and given up again for certain.
 */
import type { Candidacy } from '../core/campaign-state.ts';
import type { Candidate } from '../core/candidate-queue.ts';
import * as candidacies from '../etcd/election-keys.ts';
import { EtcdError } from '../etcd/etcd-error.ts';
import type { CallLimits, EtcdTransport } from '../etcd/transport.ts';
import type { Release } from '../client/pending-deletes.ts';
import { CALL_LIMIT_MS, type Session } from '../client/session.ts';
import type { SessionPool } from '../client/session-pool.ts';
import { clock } from '../util/clock.ts';
import type { CampaignTools } from './campaign-tools.ts';

type Tools = Pick<CampaignTools, 'transport' | 'electionKeys' | 'sessions' | 'entries' | 'releases'>;

/** About so much is said of a key beside the key itself and its value, in a request or an answer. */
const BYTES_BESIDE = 100;

export class CandidateKey {
  readonly #tools: Tools;
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

  /** How large the queue was when we saw it last, in bytes. */
  #queueBytes = 0;

  constructor(tools: Tools) {
    this.#tools = tools;
    this.#transport = tools.transport;
    this.#electionKeys = tools.electionKeys;
    this.#sessions = tools.sessions;
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
      const entrant = { electionKeys: this.#electionKeys, leaseId: session.leaseId, value: value() };
      // Where our key may stand already it would stop the others, and what failed beside others is tried alone.
      const together = unconfirmedBefore ? undefined : this.#together(limits);
      const entry = await candidacies.enter(this.#transport, entrant, limits, together);
      this.#queueBytes = bytesOf(entry.candidates);
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

  #together(limits: CallLimits): candidacies.EnterTogether {
    return (entrant) => {
      const { electionKeys, value } = entrant;
      const ownBytes = 2 * electionKeys.length + Buffer.byteLength(value) + BYTES_BESIDE;
      const answerBytes = this.#queueBytes + ownBytes;
      const { withinMs } = limits;
      const sentBytes = ownBytes + 2 * electionKeys.length;
      return this.#tools.entries.join({
        request: entrant,
        limits,
        electionKeys,
        sentBytes,
        answerBytes,
        withinMs,
      });
    };
  }

  /** Deletes the key: at once, or beside others if some went before in this turn. @throws {EtcdError} */
  async #release(candidacy: Candidacy, limits: CallLimits): Promise<void> {
    const electionKeys = this.#electionKeys;
    const { withinMs } = limits;
    const sentBytes = 2 * candidacy.key.length + BYTES_BESIDE;
    const dueAtMs = clock.now() + withinMs;
    const request = {
      request: candidacy,
      limits,
      electionKeys,
      sentBytes,
      answerBytes: BYTES_BESIDE,
      withinMs,
    };
    const together = this.#tools.releases.join(request);
    if (together !== undefined && (await together) !== 'alone') return;
    const left = { ...limits, withinMs: Math.max(0, dueAtMs - clock.now()) };
    await candidacies.release(this.#transport, candidacy, left);
  }

  /**
   * An old key of ours that hangs on no lease of ours would stay for ever, and no replica would lead. If the delete
   * fails, the next renewal repeats it.
   */
  #deleteAbandoned({ candidates, hidden }: candidacies.Entry, session: Session, limits: CallLimits): void {
    const old = this.#abandoned;
    this.#abandoned = undefined;
    if (old === undefined) return;
    const isLeft = candidates.some(
      ({ key, fencingToken, leaseId }) =>
        key === old.key && fencingToken === old.createRevision && leaseId !== old.leaseId,
    );
    if (!isLeft && hidden === 0) return;
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
      candidacy === undefined ? releaseUnconfirmed : (limits) => this.#release(candidacy, limits);
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

const bytesOf = (candidates: readonly Candidate[]): number =>
  candidates.reduce((sum, { key, value }) => sum + key.length + value.length + BYTES_BESIDE, 0);
