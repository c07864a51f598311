/**
 * One lease per client and TTL, shared by all its elections, kept alive, and believed no longer than is safe.
 */
import { sharedAbort } from '../util/abort.ts';
import {
  answerLimitMs,
  defaultMarginMs,
  renewEveryMs,
  validUntilMs,
  type LeaseProof,
} from '../core/deadline.ts';
import type { Candidate } from '../core/candidate-queue.ts';
import { candidateKey } from '../etcd/election-keys.ts';
import type { OwnKey } from '../etcd/confirmation.ts';
import { EtcdError } from '../etcd/etcd-error.ts';
import { grantLease, KeepAlive, newLeaseId, revokeLease } from '../etcd/lease.ts';
import type { CallLimits, EtcdTransport } from '../etcd/transport.ts';
import type { LastWill } from '../last-will/index.ts';
import { RenewalBackoff, type ReconnectBackoff } from './reconnect-backoff.ts';
import type { EventLog } from '../logging/event-log.ts';
import { Outage } from '../logging/outage.ts';
import { after, clock } from '../util/clock.ts';
import { settle } from '../util/settle.ts';

/** How long any one call may stay unanswered, in milliseconds: with the guard's cap, back within L5's 3 s. */
export const CALL_LIMIT_MS = 2_500;

/** Takes a key out of the queue, whichever of our puts it is there by. @throws {EtcdError} */
export type Release = (limits: CallLimits, isStillPending: () => boolean) => Promise<void>;

/** A key that should be gone, but whose release has not been acknowledged, or that a late put may bring back. */
interface Owed {
  readonly release: Release;
  /** Released again until then, because a late put may still be on its way; 0 where none can be. */
  readonly repeatUntilMs: number;
}

/** How long a new lease waits for the old ones to be given back, in milliseconds: on a sound host they are by then. */
const REVOKE_PATIENCE_MS = 500;

export type SessionEnd = 'deadline-passed' | 'lease-lost' | 'refused' | 'closed';

/** One lease's life. Ends once. */
export class Session {
  readonly leaseId: string;
  readonly #transport: EtcdTransport;
  readonly #backoff: ReconnectBackoff;
  readonly #retries: RenewalBackoff;
  readonly #eventLog: EventLog;
  readonly #keepAlive: KeepAlive;
  readonly #stop = sharedAbort();
  readonly #listeners = new Set<(reason: SessionEnd) => void>();
  readonly #owed = new Map<string, Owed>();
  #proof: LeaseProof;
  #marginMs: number;
  #ended: SessionEnd | undefined;
  readonly #offClusterChanged: () => void;
  #cancelDeadline = (): void => undefined;
  /** Whether somebody saw the deadline passed before its timer did, which is about to fire. */
  #isOverdue = false;

  constructor(
    lease: { id: string; proof: LeaseProof; keepAlive: KeepAlive; marginMs: number },
    tools: { transport: EtcdTransport; backoff: ReconnectBackoff; eventLog: EventLog },
  ) {
    this.leaseId = lease.id;
    this.#proof = lease.proof;
    this.#keepAlive = lease.keepAlive;
    this.#marginMs = lease.marginMs;
    this.#transport = tools.transport;
    this.#backoff = tools.backoff;
    this.#retries = new RenewalBackoff(lease.proof.grantedTtlSeconds, tools.backoff);
    this.#eventLog = tools.eventLog;
    this.#offClusterChanged = this.#transport.onClusterChanged(() => this.end('lease-lost'));
    this.#watchDeadline();
    void this.#renewUntilEnded();
  }

  /** How much longer the lease may be believed, in milliseconds; 0 when it is over. */
  remainingMs(): number {
    if (this.#ended !== undefined) return 0;
    const leftMs = validUntilMs(this.#proof, this.#marginMs) - clock.now();
    if (leftMs > 0) return leftMs;
    this.#bringDeadlineForward();
    return 0;
  }

  /** The TTL that etcd granted, in milliseconds. */
  get ttlMs(): number {
    return this.#proof.grantedTtlSeconds * 1000;
  }

  /** Asks the clock, never a timer: a blocked event loop runs timers late. */
  isValid(): boolean {
    return this.remainingMs() > 0;
  }

  /** The most cautious of the elections that share a session sets the margin for all. */
  widenMargin(marginMs: number): void {
    if (marginMs <= this.#marginMs) return;
    this.#marginMs = marginMs;
    this.#watchDeadline();
  }

  /** Calls back when the session ends; at once if it has. @returns a function that takes the listener away. */
  onEnd(listener: (reason: SessionEnd) => void): () => void {
    if (this.#ended !== undefined) {
      listener(this.#ended);
      return () => undefined;
    }
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Goes on releasing a key until etcd acknowledges it: while the lease lives for others, a key left behind would
   * lead for nobody.
   *
   * @param repeatUntilMs until when a put that was not answered may still arrive after a release; 0 where none can.
   */
  addPendingDelete(key: string, release: Release, repeatUntilMs: number): void {
    this.#owed.set(key, { release, repeatUntilMs });
  }

  /** Releases the key now, if it is owed. @throws {EtcdError} */
  async flushPendingDeletes(key: string, limits: CallLimits): Promise<void> {
    const owed = this.#owed.get(key);
    if (owed === undefined) return;
    await owed.release(limits, () => this.#owed.get(key) === owed);
    this.#owed.delete(key);
  }

  async #payAllOwed(): Promise<void> {
    for (const [key, owed] of this.#owed) {
      const isStillPending = (): boolean => this.#owed.get(key) === owed;
      await owed.release({ withinMs: CALL_LIMIT_MS, signal: this.#stop.signal }, isStillPending);
      if (isStillPending() && owed.repeatUntilMs <= clock.now()) this.#owed.delete(key);
    }
  }

  end(reason: SessionEnd): void {
    if (this.#ended !== undefined) return;
    this.#ended = reason;
    this.#cancelDeadline();
    this.#offClusterChanged();
    this.#stop.abort();
    this.#keepAlive.close();
    this.#retries.end();
    this.#eventLog.report(
      reason === 'closed'
        ? { type: 'session.closed', leaseId: this.leaseId }
        : { type: 'session.lost', leaseId: this.leaseId, reason },
    );
    const listeners = [...this.#listeners];
    this.#listeners.clear();
    for (const listener of listeners) listener(reason);
  }

  #watchDeadline(): void {
    this.#isOverdue = false;
    this.#cancelDeadline();
    const leftMs = validUntilMs(this.#proof, this.#marginMs) - clock.now();
    if (leftMs <= 0) this.end('deadline-passed');
    // Renewals move the deadline, not the timer: when it fires, it looks again.
    else this.#cancelDeadline = after(leftMs, () => this.#watchDeadline());
  }

  /** Timers stand still while a machine is suspended: whoever looks at the clock first sets them right. */
  #bringDeadlineForward(): void {
    if (this.#isOverdue) return;
    this.#isOverdue = true;
    this.#cancelDeadline();
    this.#cancelDeadline = after(0, () => this.#watchDeadline());
  }

  async #renewUntilEnded(): Promise<void> {
    const signal = this.#stop.signal;
    let steadySinceMs = clock.now();
    let faltered = false;
    while (this.#ended === undefined) {
      if (!faltered)
        await clock.sleep(
          this.#proof.sentAtMs + renewEveryMs(this.#proof.grantedTtlSeconds) - clock.now(),
          signal,
        );
      else await this.#retries.pass(signal);
      if (signal.aborted) return;
      if (this.#transport.isClosed) return this.end('lease-lost');
      const begunAtMs = clock.now();
      try {
        const proof = await this.#keepAlive.renew({
          withinMs: Math.min(
            answerLimitMs(this.#proof.grantedTtlSeconds, this.#transport.isProxied),
            this.remainingMs(),
          ),
          signal,
        });
        if (signal.aborted) return; // an answer that came after the deadline brings nothing back
        const leftMs = this.remainingMs();
        if (leftMs === 0) return this.end('deadline-passed');
        this.#proof = proof;
        if (faltered) {
          faltered = false;
          steadySinceMs = clock.now();
          this.#eventLog.report({ type: 'session.recovered', leaseId: this.leaseId, leftMs });
        }
        this.#backoff.wake(); // a watch that is lost meanwhile must not wait: etcd can be reached
        this.#backoff.healthyFor(clock.now() - steadySinceMs);
        this.#retries.healthyFor(clock.now() - steadySinceMs);
        this.#payAllOwed().catch(() => undefined); // after the next renewal again
        this.#eventLog.report({
          type: 'session.renewed',
          leaseId: this.leaseId,
          roundTripMs: clock.now() - begunAtMs,
          headroomMs: leftMs,
        });
      } catch (error) {
        if (signal.aborted) return;
        const fault = error as EtcdError;
        if (fault.kind === 'lease-gone') return this.end('lease-lost');
        if (!faltered)
          this.#eventLog.report({
            type: 'session.faltered',
            leaseId: this.leaseId,
            reason: fault.message,
            leftMs: this.remainingMs(),
          });
        faltered = true;
      }
    }
  }
}

/** An election that has its key on the lease. */
export interface LeaseHolder {
  /** Prefix of its candidates' keys. */
  readonly electionKeys: string;
  /** What a read showed under the key that it has on this lease, at which revision. */
  onOwnKey(found: Candidate | undefined, revision: bigint): void;
}

/** What sessions need of their client. */
export interface SessionClient {
  readonly transport: EtcdTransport;
  readonly backoff: ReconnectBackoff;
  /** Starts nothing before it holds a lease. */
  readonly lastWill: LastWill;
}

/** Hands out the session of one client and TTL: opens it for the first who needs it, closes it after the last. */
export class SessionSource {
  readonly #client: SessionClient;
  readonly #transport: EtcdTransport;
  readonly #backoff: ReconnectBackoff;
  readonly #ttlSeconds: number;
  /** In the order in which their keys are read. */
  readonly #holders = new Set<LeaseHolder>();
  /** The largest that was asked for, and whether somebody asked for none. */
  #marginMs = 0;
  #isMarginDefault = false;
  #eventLog: EventLog | undefined;
  /** Of one who asked for it, all have the use. */
  #lastWill: LastWill | undefined;
  #current: Session | undefined;
  #opening: Promise<Session> | undefined;
  /** No lease is to be had. */
  readonly #outage = new Outage();
  #stop = sharedAbort();
  /** Leases that we no longer believe in, but etcd may: their keys would stand in our own way. */
  readonly #abandoned = new Set<string>();

  constructor(client: SessionClient, ttlSeconds: number) {
    this.#client = client;
    this.#transport = client.transport;
    this.#backoff = client.backoff;
    this.#ttlSeconds = ttlSeconds;
  }

  /** @param marginMs default: a tenth of the TTL that is granted. */
  join(holder: LeaseHolder, marginMs: number | undefined, eventLog: EventLog, lastWill: boolean): void {
    if (this.#holders.size === 0) this.#stop = sharedAbort();
    this.#holders.add(holder);
    this.#marginMs = Math.max(this.#marginMs, marginMs ?? 0);
    this.#isMarginDefault ||= marginMs === undefined;
    this.#eventLog = eventLog;
    this.#current?.widenMargin(this.#marginFor(this.#current.ttlMs / 1000));
    if (!lastWill || this.#lastWill !== undefined) return;
    this.#lastWill = this.#client.lastWill;
    if (this.#current !== undefined) this.#bequeath(this.#current.leaseId);
  }

  #bequeath(leaseId: string): void {
    this.#lastWill?.hold(leaseId, this.#transport.clusterId, (reason) =>
      this.#eventLog?.report({ type: 'last-will.lost', reason }),
    );
  }

  #marginFor(grantedTtlSeconds: number): number {
    return Math.max(this.#marginMs, this.#isMarginDefault ? defaultMarginMs(grantedTtlSeconds) : 0);
  }

  /** The key to read next: one read a renewal, not one for each election. @throws {EtcdError} where all have left. */
  #ownKey(leaseId: string): OwnKey {
    const [holder] = this.#holders;
    if (holder === undefined)
      throw new EtcdError('aborted', 'renew the lease: nobody wants it any more', true);
    this.#holders.delete(holder);
    this.#holders.add(holder);
    return {
      key: candidateKey(holder.electionKeys, leaseId),
      onRead: (found, revision) => holder.onOwnKey(found, revision),
    };
  }

  /** The last to leave gives the lease back. Never waits longer than one call may take; never throws. */
  async leave(holder: LeaseHolder): Promise<void> {
    if (!this.#holders.delete(holder) || this.#holders.size > 0) return;
    this.#stop.abort();
    this.#opening = undefined;
    this.#outage.over();
    this.#marginMs = 0;
    this.#isMarginDefault = false;
    const session = this.#current;
    this.#current = undefined;
    session?.end('closed');
    const leases = [...this.#abandoned, ...(session === undefined ? [] : [session.leaseId])];
    this.#abandoned.clear();
    const lastWill = this.#lastWill;
    this.#lastWill = undefined;
    await Promise.all(
      leases.map((leaseId) =>
        revokeLease(this.#transport, leaseId, { withinMs: CALL_LIMIT_MS, isTimely: true })
          .then(() => leaseId === session?.leaseId && this.#backoff.forgive())
          // Where etcd cannot be reached the lease runs out by itself.
          .catch(() => undefined)
          // Should we die before it is back, the last will gives it back.
          .finally(() => lastWill?.drop(leaseId)),
      ),
    );
  }

  /**
   * The session, when there is one: waits for it through any outage.
   *
   * @throws {EtcdError} when etcd refuses for good, the client is closed, or the signal aborts.
   */
  async acquire(signal: AbortSignal): Promise<Session> {
    if (this.#current?.isValid() === true) return this.#current;
    const opening = (this.#opening ??= this.#openOnce());
    return await settle(opening, { signal }, (): never => {
      throw new EtcdError('aborted', 'no session: aborted', false);
    });
  }

  readonly #tellHold = (holdMs: number): void => this.#eventLog?.report({ type: 'session.held', holdMs });

  #openOnce(): Promise<Session> {
    const opening = this.#open(this.#stop.signal);
    const clear = (): void => {
      if (this.#opening === opening) this.#opening = undefined;
    };
    opening.then(clear, clear);
    return opening;
  }

  async #open(signal: AbortSignal): Promise<Session> {
    const leaseId = newLeaseId();
    const keepAlive = new KeepAlive(this.#transport, leaseId, () => this.#ownKey(leaseId));
    for (let attempt = 1; ; attempt++) {
      // Later attempts are told of by what failed.
      await this.#backoff.pass(signal, attempt === 1 ? this.#tellHold : undefined);
      try {
        const proof = await this.#grant(leaseId, keepAlive, signal);
        if (signal.aborted) throw new EtcdError('aborted', 'no session: nobody wants it any more', true);
        const session = new Session(
          { id: leaseId, proof, keepAlive, marginMs: this.#marginFor(proof.grantedTtlSeconds) },
          { transport: this.#transport, backoff: this.#backoff, eventLog: this.#eventLog! },
        );
        session.onEnd((reason) => {
          if (this.#current === session) this.#current = undefined;
          if (reason === 'deadline-passed' || reason === 'refused') this.#abandoned.add(leaseId);
          else if (reason === 'lease-lost') this.#lastWill?.drop(leaseId);
        });
        this.#current = session;
        this.#bequeath(leaseId);
        if (attempt > 1) this.#backoff.wake();
        void this.#revokeRest(signal);
        this.#tellAvailable();
        this.#eventLog?.report({
          type: 'session.opened',
          leaseId,
          askedTtlSeconds: this.#ttlSeconds,
          grantedTtlSeconds: proof.grantedTtlSeconds,
        });
        return session;
      } catch (error) {
        const fault = error as EtcdError;
        if (fault.kind !== 'unavailable' && fault.kind !== 'lease-gone') {
          keepAlive.close();
          if (fault.kind === 'aborted')
            void revokeLease(this.#transport, leaseId, { withinMs: CALL_LIMIT_MS, isTimely: true }).catch(
              () => undefined,
            );
          throw fault;
        }
        this.#tellUnavailable(fault);
      }
    }
  }

  #tellUnavailable({ message: reason }: EtcdError): void {
    const forMs = this.#outage.note(reason);
    const { endpoints } = this.#transport;
    if (forMs !== undefined)
      this.#eventLog?.report({ type: 'session.unavailable', reason, endpoints, forMs });
  }

  #tellAvailable(): void {
    const afterMs = this.#outage.over();
    if (afterMs !== undefined) this.#eventLog?.report({ type: 'session.available', afterMs });
  }

  /** Gives back what etcd may still keep of ours. @returns whether all of it is gone. */
  async #revokeAbandoned(limits: CallLimits): Promise<boolean> {
    const revoke = async (leaseId: string): Promise<void> => {
      await revokeLease(this.#transport, leaseId, limits);
      this.#abandoned.delete(leaseId);
      this.#lastWill?.drop(leaseId);
    };
    const results = await Promise.allSettled([...this.#abandoned].map(revoke));
    return results.every(({ status }) => status === 'fulfilled');
  }

  /** What could not be given back with the first try is tried again, at the client's pace. */
  async #revokeRest(signal: AbortSignal): Promise<void> {
    while (this.#abandoned.size > 0 && !signal.aborted) {
      await this.#backoff.pass(signal);
      if (!signal.aborted) await this.#revokeAbandoned({ withinMs: CALL_LIMIT_MS, signal });
    }
  }

  /** One try: dial, give back what we abandoned, take a new lease. */
  async #grant(leaseId: string, keepAlive: KeepAlive, signal: AbortSignal): Promise<LeaseProof> {
    const limits = { withinMs: CALL_LIMIT_MS, signal };
    const probe = await keepAlive.dial(limits);
    try {
      const revoked = this.#revokeAbandoned(limits);
      const proof = await grantLease(this.#transport, leaseId, this.#ttlSeconds, limits);
      // Our old keys would stand before us; but one member that keeps silent must not cost us the lease we have got.
      const over = new AbortController();
      await Promise.race([revoked.then(() => over.abort()), clock.sleep(REVOKE_PATIENCE_MS, over.signal)]);
      return proof ?? (await keepAlive.renew(limits));
    } catch (error) {
      // A host that keeps silent: let etcd3 dial anew.
      if (error instanceof EtcdError && error.kind === 'unavailable') probe.fail();
      throw error;
    }
  }
}
