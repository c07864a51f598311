/**
 * Shares one session at a time among all elections of one client and TTL.
 */
import { sharedAbort } from '../util/abort.ts';
import { defaultMarginMs, validUntilMs, type LeaseProof } from '../core/deadline.ts';
import type { QueuedCandidate } from '../core/candidate-queue.ts';
import { candidateKey } from '../etcd/candidate-kv.ts';
import type { OwnKey } from '../etcd/confirmation.ts';
import { EtcdError, isFinal } from '../etcd/etcd-error.ts';
import { grantLease, KeepAlive, newLeaseId, revokeLease } from '../etcd/lease.ts';
import type { CallLimits, EtcdTransport } from '../etcd/transport.ts';
import type { LastWill } from '../last-will/index.ts';
import { AbandonedLeases } from './abandoned-leases.ts';
import { LeaseOutage } from './lease-outage.ts';
import type { ReconnectBackoff } from './reconnect-backoff.ts';
import { CALL_LIMIT_MS, Session } from './session.ts';
import type { EventLog } from '../logging/event-log.ts';
import { SharedLog } from '../logging/shared-log.ts';
import { clock } from '../util/clock.ts';
import { Multiset } from '../util/multiset.ts';
import { settle, settledWithin } from '../util/settle.ts';

/** How long a new lease waits until old leases are revoked, in milliseconds. A sound host needs less. */
const REVOKE_PATIENCE_MS = 500;

const REVOCATION: CallLimits = { withinMs: CALL_LIMIT_MS, isTimely: true };

/** An election that has its key on the lease. */
export interface LeaseHolder {
  readonly keyPrefix: string;
  isRefused(): boolean;
  /** Whether its key may be on the lease. */
  mayHaveKey(): boolean;
  onOwnKey(found: QueuedCandidate | undefined, revision: bigint): void;
  onOwnKeyDenied(fault: EtcdError): void;
}

/** What the pool keeps for a holder. */
interface Membership {
  /** The margin that the holder asks for, in milliseconds; undefined for the default. */
  readonly marginMs: number | undefined;
  readonly endLogs: readonly (() => void)[];
}

interface NewLease {
  readonly id: string;
  readonly keepAlive: KeepAlive;
  /** Whether the lease may exist: etcd was asked for it, and did not refuse. */
  isAsked: boolean;
}

export interface SessionClient {
  readonly transport: EtcdTransport;
  readonly backoff: ReconnectBackoff;
  readonly log: SharedLog;
  /** Its helper process starts with the first lease. */
  readonly lastWill: LastWill;
}

/**
 * The session of one client and TTL. It opens for the first election that needs it, and closes when the last election
 * has left.
 */
export class SessionPool {
  readonly #client: SessionClient;
  readonly #transport: EtcdTransport;
  readonly #backoff: ReconnectBackoff;
  readonly #ttlSeconds: number;
  /** The elections, in the order in which their keys are read. */
  readonly #holders = new Map<LeaseHolder, Membership>();
  /** The margins of `#holders`; undefined for the default. */
  readonly #margins = new Multiset<number | undefined>();
  readonly #log = new SharedLog();
  /** Enabled for all elections as soon as one asks for it. */
  #lastWill: LastWill | undefined;
  #current: Session | undefined;
  #opening: Promise<Session> | undefined;
  readonly #outage = new LeaseOutage();
  #stop = sharedAbort();
  readonly #abandoned: AbandonedLeases;

  constructor(client: SessionClient, ttlSeconds: number) {
    this.#client = client;
    this.#transport = client.transport;
    this.#backoff = client.backoff;
    this.#ttlSeconds = ttlSeconds;
    this.#abandoned = new AbandonedLeases(client.transport, client.backoff, (id) => this.#lastWill?.drop(id));
    this.#transport.history.onRestored(() => this.#current?.pendingDeletes.historyLost());
  }

  /** @param marginMs the margin, in milliseconds. Default: a tenth of the granted TTL. */
  join(holder: LeaseHolder, marginMs: number | undefined, eventLog: EventLog, lastWill: boolean): void {
    if (this.#holders.size === 0) this.#stop = sharedAbort();
    const endLogs = [this.#log.begin(eventLog), this.#client.log.begin(eventLog)];
    this.#holders.set(holder, { marginMs, endLogs });
    this.#margins.add(marginMs);
    this.#applyMargin();
    if (!lastWill || this.#lastWill !== undefined) return;
    this.#lastWill = this.#client.lastWill;
    if (this.#current !== undefined) this.#bequeath(this.#current.leaseId);
  }

  #bequeath(leaseId: string): void {
    this.#lastWill?.hold(leaseId, this.#transport.clusterId, (reason) =>
      this.#client.log.report({ type: 'last-will.lost', reason }),
    );
  }

  #applyMargin(): void {
    this.#current?.setMargin(this.#marginFor(this.#current.ttlMs / 1000));
  }

  /** The largest margin that an election asks for. */
  #marginFor(grantedTtlSeconds: number): number {
    const asked = [...this.#margins].map((marginMs) => marginMs ?? defaultMarginMs(grantedTtlSeconds));
    return Math.max(0, ...asked);
  }

  /**
   * The next key to read. Renewals read the keys of all elections in turn. Skips an election that etcd refuses. If etcd
   * denied the read of its key, the renewal would not count.
   *
   * @throws {EtcdError} if all elections have left.
   */
  #ownKey(leaseId: string): OwnKey {
    const holders = [...this.#holders.keys()];
    const holder = holders.find((each) => !each.isRefused()) ?? holders[0];
    if (holder === undefined)
      throw new EtcdError('aborted', 'renew the lease: all elections have left', true);
    const membership = this.#holders.get(holder)!;
    this.#holders.delete(holder);
    this.#holders.set(holder, membership);
    return {
      key: candidateKey(holder.keyPrefix, leaseId),
      onRead: (found, revision) => holder.onOwnKey(found, revision),
      onDenied: (fault) => holder.onOwnKeyDenied(fault),
    };
  }

  /**
   * Removes a holder. When the last holder leaves, its lease is revoked. That takes at most the limit of one call, and
   * in a worker thread half a second more. Never throws.
   */
  async leave(holder: LeaseHolder): Promise<void> {
    const membership = this.#holders.get(holder);
    if (membership === undefined) return;
    this.#holders.delete(holder);
    this.#margins.remove(membership.marginMs);
    for (const end of membership.endLogs) end();
    if (this.#holders.size > 0) return this.#applyMargin();
    this.#stop.abort();
    const opening = this.#opening;
    this.#opening = undefined;
    this.#outage.over();
    const session = this.#current;
    this.#current = undefined;
    session?.end('closed');
    const leases = [...this.#abandoned.take(), ...(session === undefined ? [] : [session.leaseId])];
    const lastWill = this.#lastWill;
    this.#lastWill = undefined;
    const revocations = leases.map((leaseId) => this.#revoke(leaseId, session, lastWill));
    // A lease that is being obtained is revoked too, because nothing of it may outlive `close()`.
    await Promise.all([...revocations, opening?.catch(() => undefined)]);
    await lastWill?.ended();
  }

  /**
   * Closes the session if etcd refuses all elections and none has a key. Nothing could confirm its renewals, because etcd
   * denies every read. The next try to enter opens another session. Never throws.
   */
  async closeUnusable(): Promise<void> {
    const session = this.#current;
    const isUsable = [...this.#holders.keys()].some((each) => !each.isRefused() || each.mayHaveKey());
    if (session === undefined || isUsable) return;
    session.end('closed');
    await this.#revoke(session.leaseId, session, this.#lastWill);
  }

  async #revoke(
    leaseId: string,
    session: Session | undefined,
    lastWill: LastWill | undefined,
  ): Promise<void> {
    try {
      const existed = await revokeLease(this.#transport, leaseId, REVOCATION);
      if (existed && leaseId === session?.leaseId) this.#backoff.forgive();
      lastWill?.drop(leaseId);
    } catch (error) {
      this.#abandon(leaseId, error as EtcdError);
      // If the process ends before the lease has expired, `lastWill` still revokes it.
      lastWill?.dropLater(leaseId, session?.ttlMs ?? this.#ttlSeconds * 1000);
    }
  }

  /** etcd may keep the lease although the last election has left. The present or the next session revokes it. */
  #abandon(leaseId: string, fault: EtcdError): void {
    if (fault.kind !== 'unavailable') return;
    this.#abandoned.add(leaseId);
    if (this.#current !== undefined) void this.#abandoned.revokeRest(this.#stop.signal);
  }

  /**
   * Returns the session, and opens it if there is none. Waits through any outage.
   *
   * @throws {EtcdError} if etcd refuses for good, the client is closed, or the signal aborts.
   */
  async acquire(signal: AbortSignal): Promise<Session> {
    if (this.#current?.isValid() === true) return this.#current;
    const opening = (this.#opening ??= this.#openOnce());
    return await settle(opening, { signal }, (): never => {
      throw new EtcdError('aborted', 'no session: aborted', false);
    });
  }

  /**
   * The cause if, for one TTL, etcd has rejected our client certificate or we have not trusted etcd's, and no try has
   * succeeded since. Otherwise undefined.
   */
  get certificateRejection(): string | undefined {
    return this.#outage.rejection(this.#ttlSeconds * 1000);
  }

  readonly #tellHold = (holdMs: number): void => this.#log.report({ type: 'session.held', holdMs });

  #openOnce(): Promise<Session> {
    const opening = this.#open(this.#stop.signal);
    const clear = (): void => {
      if (this.#opening === opening) this.#opening = undefined;
    };
    opening.then(clear, clear);
    return opening;
  }

  async #open(signal: AbortSignal): Promise<Session> {
    let lease = this.#newLease();
    const another = (): NewLease => {
      this.#discard(lease);
      return (lease = this.#newLease());
    };
    for (let attempt = 1; ; attempt++) {
      // Only the first try reports its delay, because later tries follow a failure that is already logged.
      await this.#backoff.pass(signal, attempt === 1 ? this.#tellHold : undefined);
      try {
        // If there is no proof, etcd has applied an earlier grant of this lease, whose answer was lost. Our stream may be on
        // the host that did not answer, so take another lease and another stream.
        const proof = (await this.#grant(lease, signal)) ?? (await this.#grant(another(), signal));
        if (proof === undefined || this.#isOver(proof)) {
          another();
          throw new EtcdError('unavailable', 'grant a lease: no answer in time', true);
        }
        if (signal.aborted) throw new EtcdError('aborted', 'no session: all elections have left', true);
        if (attempt > 1) this.#backoff.wake();
        return this.#begin(lease, proof, signal);
      } catch (error) {
        const fault = error as EtcdError;
        if (fault.kind !== 'unavailable') {
          this.#discard(lease);
          if (fault.kind === 'aborted') await this.#abandoned.revokeOnce(REVOCATION);
          throw fault;
        }
        this.#tellUnavailable(fault);
      }
    }
  }

  #isOver(proof: LeaseProof): boolean {
    return validUntilMs(proof, this.#marginFor(proof.grantedTtlSeconds)) <= clock.now();
  }

  #begin({ id: leaseId, keepAlive }: NewLease, proof: LeaseProof, signal: AbortSignal): Session {
    const { grantedTtlSeconds } = proof;
    const session = new Session(
      { id: leaseId, proof, keepAlive, marginMs: this.#marginFor(grantedTtlSeconds) },
      { transport: this.#transport, backoff: this.#backoff, log: this.#log },
    );
    session.onEnd((reason) => {
      if (this.#current === session) this.#current = undefined;
      if (reason === 'deadline-passed' || reason === 'refused') this.#abandoned.add(leaseId);
      else if (this.#transport.isClosed) this.#lastWill?.dropLater(leaseId, session.ttlMs);
      else if (reason === 'lease-lost') this.#lastWill?.drop(leaseId);
    });
    this.#current = session;
    this.#bequeath(leaseId);
    void this.#abandoned.revokeRest(signal);
    this.#tellAvailable();
    this.#log.report({
      type: 'session.opened',
      leaseId,
      askedTtlSeconds: this.#ttlSeconds,
      grantedTtlSeconds,
    });
    return session;
  }

  #newLease(): NewLease {
    const id = newLeaseId();
    const keepAlive = new KeepAlive(this.#transport, id, () => this.#ownKey(id));
    return { id, keepAlive, isAsked: false };
  }

  #discard({ id, keepAlive, isAsked }: NewLease): void {
    keepAlive.close();
    if (isAsked) this.#abandoned.add(id);
  }

  #tellUnavailable({ message: reason }: EtcdError): void {
    const { endpoints, causes } = this.#transport;
    const forMs = this.#outage.note(reason, causes);
    if (forMs !== undefined)
      this.#log.report({ type: 'session.unavailable', reason, endpoints, causes, forMs });
  }

  #tellAvailable(): void {
    const afterMs = this.#outage.over();
    if (afterMs !== undefined) this.#log.report({ type: 'session.available', afterMs });
  }

  /**
   * One try: dials, revokes the abandoned leases, and grants a new one.
   *
   * @returns undefined if an earlier grant of this lease had succeeded, but its answer was lost. The caller then asks for
   *   another lease, because it needs the answer to a grant. Only this answer shows whether etcd was restored with a
   *   lower raft term.
   */
  async #grant(lease: NewLease, signal: AbortSignal): Promise<LeaseProof | undefined> {
    const { id, keepAlive } = lease;
    const limits = { withinMs: CALL_LIMIT_MS, signal };
    await keepAlive.dial(limits);
    const wasAsked = lease.isAsked;
    lease.isAsked = true;
    try {
      const revoked = this.#abandoned.revokeOnce(limits);
      const proof = await grantLease(this.#transport, id, this.#ttlSeconds, limits);
      // Our old keys would be ahead of us, so wait until they are gone. Do not wait long, because one silent member
      // must not cost us the new lease.
      if (proof !== undefined) await settledWithin(revoked, REVOKE_PATIENCE_MS);
      return proof;
    } catch (error) {
      if (error instanceof EtcdError && isFinal(error)) lease.isAsked = wasAsked;
      // The next try may choose another host for the stream, because hosts that did not answer are suspects now.
      if (error instanceof EtcdError && error.kind === 'unavailable') keepAlive.hangUp();
      throw error;
    }
  }
}
