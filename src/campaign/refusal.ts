/**
 * What etcd refuses to a replica that has stood already: a role taken away, a password changed, a user deleted. It is an
 * outage with an operator as its cause. So we try on, slowly, and say so until it is over.
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

  /** What etcd said last; undefined while it permits. */
  get reason(): string | undefined {
    return this.#outage.reason;
  }

  note({ message }: EtcdError): void {
    const forMs = this.#outage.note(message);
    if (forMs !== undefined) this.#tell(message, forMs);
  }

  /** Waits before the next try; not at all while etcd permits. */
  async pass(signal: AbortSignal): Promise<void> {
    if (this.#outage.reason !== undefined) await this.#backoff.pass(signal);
  }

  /** etcd permits it again. */
  over(): void {
    if (this.#outage.over() !== undefined) this.#backoff.permitted();
  }
}
