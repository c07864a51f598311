/**
 * Creates our key in the queue of one election, and reliably deletes the key again.
 */
import type { Candidacy } from '../core/campaign-state.ts';
import type { QueuedCandidate } from '../core/candidate-queue.ts';
import { candidateKey } from '../etcd/candidate-kv.ts';
import {
  enter,
  proclaim,
  release as releaseKey,
  releaseUnconfirmed as releaseUnconfirmedKey,
  type EnterTogether,
  type Entry,
} from '../etcd/election-keys.ts';
import { EtcdError } from '../etcd/etcd-error.ts';
import type { CallLimits, EtcdTransport } from '../etcd/transport.ts';
import type { Release } from '../client/pending-deletes.ts';
import { CALL_LIMIT_MS, type Session } from '../client/session.ts';
import type { SessionPool } from '../client/session-pool.ts';
import { clock } from '../util/clock.ts';
import type { CampaignTools } from './campaign-tools.ts';

type Tools = Pick<CampaignTools, 'transport' | 'keyPrefix' | 'sessions' | 'entries' | 'releases'>;

/**
 * An unanswered request may still reach etcd this long after we gave it up, in milliseconds. We close a silent connection
 * within seconds. Linux may resend the data of the closed connection for about 100 s more (`tcp_orphan_retries` in the kernel's
 * ip-sysctl page).
 */
const LATE_MS = 120_000;

/** Approximate size of a request or an answer without the key and its value, in bytes. */
const BYTES_BESIDE = 100;

export interface TakenEntry extends Entry {
  /** When the call was sent, by `clock.now()`. The answer proves nothing about later times. */
  readonly askedAtMs: number;
  /** The value that was written to etcd. The program may have set a newer value since. */
  readonly value: string;
}

export class CandidateKey {
  readonly #tools: Tools;
  readonly #transport: EtcdTransport;
  readonly #keyPrefix: string;
  readonly #sessions: SessionPool;
  #session: Session | undefined;
  /** Our key in the queue; undefined if etcd has confirmed no key. */
  #candidacy: Candidacy | undefined;
  /** Whether an entry was sent and not answered. Then our key may exist without our knowledge. */
  #unconfirmed = false;
  /** Until when an unanswered entry may still arrive and create our key again, in milliseconds. */
  #lateUntilMs = 0;
  /** Whether a delete of the key is under way. */
  #isGivenUp = false;
  /** The approximate size of the candidates in the answer to the last entry, in bytes. */
  #queueBytes = 0;

  constructor(tools: Tools) {
    this.#tools = tools;
    this.#transport = tools.transport;
    this.#keyPrefix = tools.keyPrefix;
    this.#sessions = tools.sessions;
  }

  get session(): Session | undefined {
    return this.#session;
  }

  /** Whether etcd may have the key. */
  get mayExist(): boolean {
    return this.#candidacy !== undefined || this.#unconfirmed || this.#isGivenUp;
  }

  /**
   * Enters at the end of the queue. Waits for a session without a time limit.
   *
   * @throws {EtcdError}
   */
  async take(value: () => string, signal: AbortSignal): Promise<TakenEntry> {
    try {
      return await this.#takeUnder(value, signal);
    } catch (error) {
      // The lease had already expired. Try once more under a new lease.
      if (!(error instanceof EtcdError) || error.kind !== 'lease-gone') throw error;
      return await this.#takeUnder(value, signal);
    }
  }

  async #takeUnder(value: () => string, signal: AbortSignal): Promise<TakenEntry> {
    const limits: CallLimits = { withinMs: CALL_LIMIT_MS, signal };
    const session = await this.#sessions.acquire(signal);
    if (session !== this.#session) {
      // Nothing is unconfirmed under a new session.
      this.#unconfirmed = false;
      this.#lateUntilMs = 0;
    }
    this.#session = session;
    let unconfirmedBefore = this.#unconfirmed;
    try {
      const key = candidateKey(this.#keyPrefix, session.leaseId);
      const lateUntilMs = await session.pendingDeletes.flush(key, limits);
      this.#lateUntilMs = Math.max(this.#lateUntilMs, lateUntilMs);
      this.#unconfirmed = true;
      const entrant = { keyPrefix: this.#keyPrefix, leaseId: session.leaseId, value: value() };
      // If our key may exist, a shared transaction could fail for all its entries, so this entry is sent alone.
      const together = unconfirmedBefore ? undefined : this.#together(limits);
      const askedAtMs = clock.now();
      const entry = await enter(this.#transport, entrant, limits, together);
      this.#queueBytes = bytesOf(entry.candidates);
      unconfirmedBefore = true; // our key exists now, even if the announcement below is never sent
      const newest = value();
      if (entrant.value !== newest) await proclaim(this.#transport, entry.candidacy, newest, limits);
      this.#unconfirmed = false;
      this.#candidacy = entry.candidacy;
      return { ...entry, askedAtMs, value: newest };
    } catch (error) {
      if (error instanceof EtcdError && !error.mayHaveHappened) this.#unconfirmed = unconfirmedBefore;
      if (this.#unconfirmed) this.#lateUntilMs = clock.now() + LATE_MS;
      if (error instanceof EtcdError && error.kind === 'lease-gone') session.end('lease-lost');
      throw error;
    }
  }

  #together(limits: CallLimits): EnterTogether {
    return (entrant) => {
      const { keyPrefix, value } = entrant;
      const ownBytes = 2 * keyPrefix.length + Buffer.byteLength(value) + BYTES_BESIDE;
      const answerBytes = this.#queueBytes + ownBytes;
      const { withinMs } = limits;
      const sentBytes = ownBytes + 2 * keyPrefix.length;
      return this.#tools.entries.join({
        request: entrant,
        limits,
        keyPrefix,
        sentBytes,
        answerBytes,
        withinMs,
      });
    };
  }

  /**
   * Deletes the key. If one client deletes several keys in one turn of the event loop, the first delete is sent alone. The
   * others are sent together.
   *
   * @throws {EtcdError}
   */
  async #release(candidacy: Candidacy, limits: CallLimits): Promise<void> {
    const keyPrefix = this.#keyPrefix;
    const { withinMs } = limits;
    const sentBytes = 2 * candidacy.key.length + BYTES_BESIDE;
    const dueAtMs = clock.now() + withinMs;
    const request = {
      request: candidacy,
      limits,
      keyPrefix,
      sentBytes,
      answerBytes: BYTES_BESIDE,
      withinMs,
    };
    const together = this.#tools.releases.join(request);
    if (together !== undefined && (await together) !== 'alone') return;
    const left = { ...limits, withinMs: Math.max(0, dueAtMs - clock.now()) };
    await releaseKey(this.#transport, candidacy, left);
  }

  /**
   * Deletes the key if it is still the key that we created. If etcd does not acknowledge the delete, the session repeats it. A
   * forgotten key would block the election, because other elections may keep the lease alive.
   *
   * @param isDeleted whether etcd has reported that the key is deleted.
   * @returns whether a delete was sent. False if there was nothing to delete, or the lease is lost.
   * @throws {EtcdError} if the delete was not acknowledged.
   */
  async giveUp(isDeleted: boolean): Promise<boolean> {
    this.#isGivenUp = true;
    try {
      return await this.#giveUp(isDeleted);
    } finally {
      this.#isGivenUp = false;
    }
  }

  async #giveUp(isDeleted: boolean): Promise<boolean> {
    const session = this.#session;
    const candidacy = this.#candidacy;
    const unconfirmed = candidacy === undefined && this.#unconfirmed;
    const enteredLateUntilMs = this.#lateUntilMs;
    this.#session = undefined;
    this.#candidacy = undefined;
    this.#unconfirmed = false;
    this.#lateUntilMs = 0;
    if (session === undefined) return false;
    const key = candidacy?.key ?? candidateKey(this.#keyPrefix, session.leaseId);
    const releaseUnconfirmed = unconfirmedRelease(this.#transport, this.#keyPrefix, session.leaseId);
    const release: Release =
      candidacy === undefined ? releaseUnconfirmed : (limits) => this.#release(candidacy, limits);
    const mayHaveKey = !isDeleted && (candidacy !== undefined || unconfirmed);
    if (!session.isValid()) return session.isRefused && mayHaveKey && (await releaseUnrenewed(release));
    session.pendingDeletes.giveUp(key, releaseUnconfirmed);
    const lateUntilMs = unconfirmed ? clock.now() + LATE_MS : enteredLateUntilMs;
    const mayComeLate = lateUntilMs > clock.now();
    // There is no key to delete now, but an unanswered entry may still create one.
    if (!mayHaveKey) {
      if (mayComeLate) session.pendingDeletes.add(key, releaseUnconfirmed, lateUntilMs);
      return false;
    }
    try {
      // The signal of the campaign must not end the release: the key would stay.
      await release({ withinMs: CALL_LIMIT_MS, isTimely: true }, () => true);
      if (mayComeLate) session.pendingDeletes.add(key, releaseUnconfirmed, lateUntilMs);
      return true;
    } catch (error) {
      session.pendingDeletes.add(key, mayComeLate ? releaseUnconfirmed : release, lateUntilMs);
      void session.retryDeletes();
      // Only the end of the lease can remove this key. Until then it blocks other candidates.
      if (error instanceof EtcdError && error.kind === 'refused') session.end('refused');
      throw error;
    }
  }
}

/**
 * Deletes our key after another election has ended the session because etcd refused to delete a key of that election.
 * For the same reason etcd refuses to revoke the lease, so our key would block us until the lease expires.
 *
 * @returns whether the key was deleted.
 */
async function releaseUnrenewed(release: Release): Promise<boolean> {
  try {
    await release({ withinMs: CALL_LIMIT_MS, isTimely: true }, () => true);
    return true;
  } catch (error) {
    if (!(error instanceof EtcdError)) throw error;
    return false; // nothing renews the lease any more, so the key expires
  }
}

/** Not a closure of the class: a session that remembers this function must not keep the campaign in memory. */
const unconfirmedRelease =
  (transport: EtcdTransport, keyPrefix: string, leaseId: string): Release =>
  (limits, isStillPending) =>
    releaseUnconfirmedKey(transport, keyPrefix, leaseId, limits, isStillPending);

const bytesOf = (candidates: readonly QueuedCandidate[]): number =>
  candidates.reduce((sum, { key, value }) => sum + key.length + value.length + BYTES_BESIDE, 0);
