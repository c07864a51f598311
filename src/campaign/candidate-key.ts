/**
 * Our key in the queue of one election, under one session at a time: taken, and given up again for certain.
 */
import type { Candidacy } from '../core/campaign-state.ts';
import * as candidacies from '../etcd/election-keys.ts';
import { EtcdFault } from '../etcd/etcd-error.ts';
import type { CallLimits, Link } from '../etcd/transport.ts';
import { CALL_LIMIT_MS, type Release, type Session, type SessionSource } from '../client/session.ts';
import { clock } from '../util/clock.ts';

export class Seat {
  readonly #link: Link;
  readonly #electionKeys: string;
  readonly #sessions: SessionSource;
  #session: Session | undefined;
  /** An enter was sent and not answered: our key may be in etcd without our knowing. */
  #unseen = false;
  /** Until when an enter that was not answered may still arrive, and put our key back after we gave it up. */
  #lateUntilMs = 0;

  constructor(link: Link, electionKeys: string, sessions: SessionSource) {
    this.#link = link;
    this.#electionKeys = electionKeys;
    this.#sessions = sessions;
  }

  /** The session that the seat hangs on; undefined while we have none. */
  get session(): Session | undefined {
    return this.#session;
  }

  /**
   * Takes a place at the end of the queue: waits for a session as long as it takes, then one transaction.
   *
   * @throws {EtcdFault}
   */
  async take(value: () => string, signal: AbortSignal): Promise<candidacies.Entry> {
    try {
      return await this.#takeUnder(value, signal);
    } catch (error) {
      // The lease went without our noticing. Only a new one can tell whether anything else is wrong.
      if (!(error instanceof EtcdFault) || error.kind !== 'lease-gone') throw error;
      return await this.#takeUnder(value, signal);
    }
  }

  async #takeUnder(value: () => string, signal: AbortSignal): Promise<candidacies.Entry> {
    const limits: CallLimits = { withinMs: CALL_LIMIT_MS, signal };
    const session = await this.#sessions.acquire(signal);
    if (session !== this.#session) {
      // The old lease goes, and its key with it.
      this.#unseen = false;
      this.#lateUntilMs = 0;
    }
    this.#session = session;
    let unseenBefore = this.#unseen;
    try {
      await session.payOwed(candidacies.candidateKey(this.#electionKeys, session.leaseId), limits);
      this.#unseen = true;
      const entrant = { leaseId: session.leaseId, value: value() };
      const entry = await candidacies.enter(this.#link, this.#electionKeys, entrant, limits);
      unseenBefore = true; // our key stands: that a later call was never sent takes nothing back
      // A value that changed on the way.
      if (entrant.value !== value()) await candidacies.proclaim(this.#link, entry.candidacy, value(), limits);
      this.#unseen = false;
      return entry;
    } catch (error) {
      if (error instanceof EtcdFault && !error.mayHaveHappened) this.#unseen = unseenBefore;
      if (this.#unseen) this.#lateUntilMs = clock.now() + session.ttlMs;
      if (error instanceof EtcdFault && error.kind === 'lease-gone') session.end('lease-lost');
      throw error;
    }
  }

  /**
   * Gives the key up, only if it is still the one we put there. Where that is not acknowledged, the session goes on
   * trying: a key left behind on a lease that lives for others would lead for nobody.
   *
   * @param candidacy undefined where we never learnt whether we had entered.
   * @param isDeleted whether etcd has told that the key is deleted.
   * @returns whether there was something to give up: false where the lease, or an operator, took it already.
   * @throws {EtcdFault} where it could not be acknowledged now.
   */
  async giveUp(candidacy: Candidacy | undefined, isDeleted: boolean): Promise<boolean> {
    const session = this.#session;
    const unseen = candidacy === undefined && this.#unseen;
    const enteredLateUntilMs = this.#lateUntilMs;
    this.#session = undefined;
    this.#unseen = false;
    this.#lateUntilMs = 0;
    if (session === undefined || !session.isValid() || isDeleted || (candidacy === undefined && !unseen))
      return false;
    const key = candidacy?.key ?? candidacies.candidateKey(this.#electionKeys, session.leaseId);
    const releaseUnseen: Release = (limits, isStillOwed) =>
      candidacies.releaseUnseen(this.#link, this.#electionKeys, session.leaseId, limits, isStillOwed);
    const release: Release =
      candidacy === undefined
        ? releaseUnseen
        : (limits) => candidacies.release(this.#link, candidacy, limits);
    const lateUntilMs = unseen ? clock.now() + session.ttlMs : enteredLateUntilMs;
    const mayComeLate = lateUntilMs > clock.now();
    try {
      // Not under the signal that stopped us: an aborted release would leave the key behind.
      await release({ withinMs: CALL_LIMIT_MS, isTimely: true }, () => true);
      if (mayComeLate) session.owe(key, releaseUnseen, lateUntilMs);
      return true;
    } catch (error) {
      session.owe(key, mayComeLate ? releaseUnseen : release, lateUntilMs);
      // Nothing but the end of the lease takes the key out of the way of those who may lead.
      if (error instanceof EtcdFault && error.kind === 'refused') session.end('refused');
      throw error;
    }
  }
}
