/**
 * A refusal by etcd after an earlier success: the campaign has been in the queue, or the observer has had an answer. For
 * example, an operator has removed a role, changed a password or deleted a user. Only an operator can end the refusal. So
 * we retry slowly, and report the refusal until it ends.
 */
import type { EtcdError } from '../etcd/etcd-error.ts';
import type { RefusalBackoff } from '../client/refusal-backoff.ts';
import { Outage } from '../logging/outage.ts';

export class Refusal {
  readonly #backoff: RefusalBackoff;
  readonly #tell: (reason: string, forMs: number) => void;
  readonly #outage = new Outage();

  constructor(backoff: RefusalBackoff, tell: (reason: string, forMs: number) => void) {
    this.#backoff = backoff;
    this.#tell = tell;
  }

  /** etcd's last reason; undefined if there is no refusal. */
  get reason(): string | undefined {
    return this.#outage.reason;
  }

  note({ message }: EtcdError): void {
    const forMs = this.#outage.note(message);
    if (forMs !== undefined) this.#tell(message, forMs);
  }

  /** Waits before the next try, if there is a refusal. */
  async pass(signal: AbortSignal): Promise<void> {
    if (this.#outage.reason !== undefined) await this.#backoff.pass(signal);
  }

  over(): void {
    if (this.#outage.over() !== undefined) this.#backoff.permitted();
  }
}
