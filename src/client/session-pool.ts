/**
 * The sessions of one client and TTL, shared by all its elections: one at a time.
 */
import { sharedAbort } from '../util/abort.ts';
import { defaultMarginMs, type LeaseProof } from '../core/deadline.ts';
import type { Candidate } from '../core/candidate-queue.ts';
import { candidateKey } from '../etcd/election-keys.ts';
import type { OwnKey } from '../etcd/confirmation.ts';
import { EtcdError } from '../etcd/etcd-error.ts';
import { grantLease, KeepAlive, newLeaseId, revokeLease } from '../etcd/lease.ts';
import type { CallLimits, EtcdTransport } from '../etcd/transport.ts';
import type { LastWill } from '../last-will/index.ts';
import type { ReconnectBackoff } from './reconnect-backoff.ts';
import { CALL_LIMIT_MS, Session } from './session.ts';
import type { EventLog } from '../logging/event-log.ts';
import { Outage } from '../logging/outage.ts';
import { settle, settledWithin } from '../util/settle.ts';

/** How long a new lease waits for the old ones to be given back, in milliseconds: on a sound host they are by then. */
const REVOKE_PATIENCE_MS = 500;

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
export class SessionPool {
  readonly #client: SessionClient;
  readonly #transport: EtcdTransport;
  readonly #backoff: ReconnectBackoff;
  readonly #ttlSeconds: number;
  /** In the order in which their keys are read. */
  readonly #holders = new Set<LeaseHolder>();
  /** The largest that was asked for, and whether any election asked for none. */
  #marginMs = 0;
  #isMarginDefault = false;
  #eventLog: EventLog | undefined;
  /** Enabled for all elections as soon as one asks for it. */
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
      // From the second try on the failure before it says enough.
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

  /** What could not be given back with the first try is tried again, through the client's back-off. */
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
      // Our old keys would stand before us; but one member that does not answer must not cost us the lease we have got.
      await settledWithin(revoked, REVOKE_PATIENCE_MS);
      return proof ?? (await keepAlive.renew(limits));
    } catch (error) {
      // A host that does not answer: let etcd3 dial anew.
      if (error instanceof EtcdError && error.kind === 'unavailable') probe.fail();
      throw error;
    }
  }
}
