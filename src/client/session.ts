/**
 * A session keeps one lease alive, and knows the deadline until which the lease counts.
 */
import { sharedAbort } from '../util/abort.ts';
import { answerLimitMs, renewAtMs, validUntilMs, type LeaseProof } from '../core/deadline.ts';
import type { EtcdError } from '../etcd/etcd-error.ts';
import type { KeepAlive } from '../etcd/lease.ts';
import type { EtcdTransport } from '../etcd/transport.ts';
import { PendingDeletes } from './pending-deletes.ts';
import { RECONNECT, RenewalBackoff, type ReconnectBackoff } from './reconnect-backoff.ts';
import { privateGuard } from '../loop-guard/loop-guard.ts';
import type { SharedLog } from '../logging/shared-log.ts';
import { after, clock } from '../util/clock.ts';

/** How long a call may stay unanswered, in milliseconds. docs/design.md (L5) allows three seconds for a recovery. */
export const CALL_LIMIT_MS = 2_500;

export type SessionEnd = 'deadline-passed' | 'lease-lost' | 'refused' | 'closed';

export class Session {
  readonly leaseId: string;
  readonly #transport: EtcdTransport;
  readonly #backoff: ReconnectBackoff;
  readonly #retries: RenewalBackoff;
  readonly #log: SharedLog;
  readonly #keepAlive: KeepAlive;
  readonly #stop = sharedAbort();
  readonly #listeners = new Set<(reason: SessionEnd) => void>();
  /** Keys to delete. Every renewal tries again until etcd has acknowledged the delete. */
  readonly pendingDeletes: PendingDeletes = new PendingDeletes();
  readonly #deletes = privateGuard();
  #isDeleting = false;
  /** Whether a delete has failed, and no later pass has reached every key. */
  #isDeleteDue = false;
  #proof: LeaseProof;
  #marginMs: number;
  #ended: SessionEnd | undefined;
  readonly #offTransport: readonly (() => void)[];
  #cancelDeadline = (): void => undefined;
  /** Whether the last renewal failed. */
  #hasFaltered = false;
  #steadySinceMs: number = clock.now();
  /** Whether a check has noticed the passed deadline earlier than the timer. */
  #isOverdue = false;

  constructor(
    lease: { id: string; proof: LeaseProof; keepAlive: KeepAlive; marginMs: number },
    tools: { transport: EtcdTransport; backoff: ReconnectBackoff; log: SharedLog },
  ) {
    this.leaseId = lease.id;
    this.#proof = lease.proof;
    this.#keepAlive = lease.keepAlive;
    this.#marginMs = lease.marginMs;
    this.#transport = tools.transport;
    this.#backoff = tools.backoff;
    this.#retries = new RenewalBackoff(lease.proof.grantedTtlSeconds, tools.backoff);
    this.#log = tools.log;
    this.#offTransport = [
      this.#transport.onClusterChanged(() => this.end('lease-lost')),
      this.#transport.onClientClosed(() => this.end('lease-lost')),
    ];
    this.#watchDeadline();
    void this.#renewUntilEnded();
  }

  /** How much longer the session is valid, in milliseconds; 0 after its end. */
  remainingMs(): number {
    if (this.#ended !== undefined) return 0;
    // On a closed client nothing renews the lease, so the work must end now, not when the lease expires.
    const leftMs = this.#transport.isClosed ? 0 : this.validUntilMs - clock.now();
    if (leftMs > 0) return leftMs;
    this.#bringTimerForward();
    return 0;
  }

  /** The deadline, on our clock. */
  get validUntilMs(): number {
    return validUntilMs(this.#proof, this.#marginMs);
  }

  /** Whether the session is valid, and its last renewal succeeded. */
  get isSteady(): boolean {
    return !this.#hasFaltered && this.isValid();
  }

  /** The TTL that etcd granted, in milliseconds. */
  get ttlMs(): number {
    return this.#proof.grantedTtlSeconds * 1000;
  }

  /** Compares the deadline with the clock. Uses no timer, because a blocked event loop runs timers late. */
  isValid(): boolean {
    return this.remainingMs() > 0;
  }

  /**
   * Whether the session has ended for a reason other than its deadline. A session that has not ended is lost if the
   * client is closed.
   */
  get isLost(): boolean {
    return this.#ended === undefined ? this.#transport.isClosed : this.#ended !== 'deadline-passed';
  }

  /** Whether the session has ended because etcd refused to delete a key under its lease. */
  get isRefused(): boolean {
    return this.#ended === 'refused';
  }

  /**
   * Sets the margin, which is the widest that an election of this session asks for. Does not move a deadline that has
   * passed.
   */
  setMargin(marginMs: number): void {
    if (marginMs === this.#marginMs || !this.isValid()) return;
    this.#marginMs = marginMs;
    this.#watchDeadline();
  }

  /** Calls back when the session ends; at once if it has ended. @returns a function that removes the listener. */
  onEnd(listener: (reason: SessionEnd) => void): () => void {
    if (this.#ended !== undefined) {
      listener(this.#ended);
      return () => undefined;
    }
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * etcd has not answered a delete. The key blocks other candidates, so the session does not wait for the next renewal:
   * with a long TTL, that would be minutes.
   */
  async retryDeletes(): Promise<void> {
    this.#isDeleteDue = true;
    if (this.#isDeleting) return;
    this.#isDeleting = true;
    const { signal } = this.#stop;
    while (this.#isDeleteDue && !signal.aborted) {
      await this.#deletes.pass('environment', RECONNECT, { signal });
      this.#isDeleteDue = false; // before the pass, which may miss a delete that fails during it
      if (!(await this.#flushDeletes())) this.#isDeleteDue = true;
    }
    this.#isDeleting = false;
  }

  end(reason: SessionEnd): void {
    if (this.#ended !== undefined) return;
    this.#ended = reason;
    this.#cancelDeadline();
    for (const off of this.#offTransport) off();
    this.#stop.abort();
    this.#keepAlive.close();
    this.#retries.end();
    this.#log.report(
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
    if (this.#transport.isClosed) return this.end('lease-lost');
    const leftMs = this.validUntilMs - clock.now();
    if (leftMs <= 0) this.end('deadline-passed');
    // A renewal moves the deadline but not the timer, so check again when the timer fires.
    else this.#cancelDeadline = after(leftMs, () => this.#watchDeadline());
  }

  /**
   * Lets the timer of the deadline fire now. While the machine is suspended, the timer stands still, but the clock goes
   * on.
   */
  #bringTimerForward(): void {
    if (this.#isOverdue) return;
    this.#isOverdue = true;
    this.#cancelDeadline();
    this.#cancelDeadline = after(0, () => this.#watchDeadline());
  }

  async #renewUntilEnded(): Promise<void> {
    const signal = this.#stop.signal;
    let begunAtMs = Number.NEGATIVE_INFINITY;
    while (this.#ended === undefined) {
      if (this.#hasFaltered) await this.#retries.pass(signal);
      else {
        const waitMs = renewAtMs(this.#proof, begunAtMs) - clock.now();
        // A sleep of 0 ms lasts one turn. On a busy event loop that turn can cost the lease.
        if (waitMs > 0) await clock.sleep(waitMs, signal);
      }
      if (signal.aborted) return;
      if (this.#transport.isClosed) return this.end('lease-lost');
      begunAtMs = clock.now();
      try {
        const proof = await this.#keepAlive.renew({ withinMs: this.#answerLimitMs, signal });
        if (signal.aborted) return; // an answer after the deadline does not revive the session
        const leftMs = this.remainingMs();
        if (leftMs === 0) return this.end(this.#transport.isClosed ? 'lease-lost' : 'deadline-passed');
        this.#proof = proof;
        this.#renewed(leftMs, clock.now() - begunAtMs);
      } catch (error) {
        if (signal.aborted) return;
        const fault = error as EtcdError;
        if (fault.kind === 'lease-gone') return this.end('lease-lost');
        if (fault.kind === 'refused') this.#backoff.endPriority(); // etcd has answered
        this.#falter(fault.message);
      }
    }
  }

  get #answerLimitMs(): number {
    const { grantedTtlSeconds } = this.#proof;
    return Math.min(answerLimitMs(grantedTtlSeconds, this.#transport.isProxied), this.remainingMs());
  }

  /** @param headroomMs how much time was left until the old deadline, in milliseconds. */
  #renewed(headroomMs: number, roundTripMs: number): void {
    const { leaseId } = this;
    if (this.#hasFaltered) {
      this.#hasFaltered = false;
      this.#steadySinceMs = clock.now();
      this.#log.report({ type: 'session.recovered', leaseId, leftMs: headroomMs });
    }
    this.#backoff.wake(); // etcd is reachable: a watch that waits to reconnect can do so now
    this.#backoff.healthyFor(clock.now() - this.#steadySinceMs);
    this.#retries.healthyFor(clock.now() - this.#steadySinceMs);
    void this.#flushDeletes();
    this.#log.report({ type: 'session.renewed', leaseId, roundTripMs, headroomMs });
  }

  #flushDeletes(): Promise<boolean> {
    return this.pendingDeletes.flushAll({ withinMs: CALL_LIMIT_MS, signal: this.#stop.signal });
  }

  #falter(reason: string): void {
    const { leaseId } = this;
    if (!this.#hasFaltered)
      this.#log.report({ type: 'session.faltered', leaseId, reason, leftMs: this.remainingMs() });
    this.#hasFaltered = true;
  }
}
