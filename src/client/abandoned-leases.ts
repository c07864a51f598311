/**
 * Leases that have ended for us but may still exist in etcd. Their keys would be ahead of ours in the queue, so the
 * leases are revoked.
 */
import { revokeLease } from '../etcd/lease.ts';
import type { CallLimits, EtcdTransport } from '../etcd/transport.ts';
import type { ReconnectBackoff } from './reconnect-backoff.ts';
import { CALL_LIMIT_MS } from './session.ts';

export class AbandonedLeases {
  readonly #transport: EtcdTransport;
  readonly #backoff: ReconnectBackoff;
  readonly #onRevoked: (leaseId: string) => void;
  readonly #ids = new Set<string>();
  /** The signal of the loop that revokes the leases. */
  #revoking: AbortSignal | undefined;

  constructor(transport: EtcdTransport, backoff: ReconnectBackoff, onRevoked: (leaseId: string) => void) {
    this.#transport = transport;
    this.#backoff = backoff;
    this.#onRevoked = onRevoked;
  }

  add(leaseId: string): void {
    this.#ids.add(leaseId);
  }

  /** Hands over all leases: the caller revokes them. */
  take(): string[] {
    const ids = [...this.#ids];
    this.#ids.clear();
    return ids;
  }

  /** Tries once to revoke each lease. */
  async revokeOnce(limits: CallLimits): Promise<void> {
    const revoke = async (leaseId: string): Promise<void> => {
      await revokeLease(this.#transport, leaseId, limits);
      this.#ids.delete(leaseId);
      this.#onRevoked(leaseId);
    };
    await Promise.allSettled([...this.#ids].map(revoke));
  }

  /**
   * Revokes the leases until none is left. Only one such loop runs at a time, and every try passes the client's
   * back-off.
   */
  async revokeRest(signal: AbortSignal): Promise<void> {
    if (this.#revoking === signal) return;
    this.#revoking = signal;
    while (this.#ids.size > 0 && !signal.aborted) {
      await this.#backoff.pass(signal);
      if (!signal.aborted) await this.revokeOnce({ withinMs: CALL_LIMIT_MS, signal });
    }
    if (this.#revoking === signal) this.#revoking = undefined;
  }
}
