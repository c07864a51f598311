/**
 * The time in which no lease can be obtained. Notices that etcd keeps rejecting our client certificate: etcd3 reads its
 * files once, so only a restart can bring another certificate.
 */
import { isOurCertificateRejected } from '../core/plain-cause.ts';
import { Outage } from '../logging/outage.ts';
import { clock } from '../util/clock.ts';

export class LeaseOutage extends Outage {
  #rejection: { readonly sinceMs: number; lastAtMs: number; reason: string } | undefined;

  override note(reason = ''): number | undefined {
    if (isOurCertificateRejected(reason)) {
      const nowMs = clock.now();
      this.#rejection = { sinceMs: this.#rejection?.sinceMs ?? nowMs, lastAtMs: nowMs, reason };
    }
    return super.note(reason);
  }

  override over(): number | undefined {
    this.#rejection = undefined;
    return super.over();
  }

  /**
   * @param lastingMs the least time between the first and the last rejection of this outage. Failures after the last
   *   rejection do not count: a restart would not help against an etcd that cannot be reached.
   * @returns etcd's words if it keeps rejecting our client certificate; otherwise undefined.
   */
  rejection(lastingMs: number): string | undefined {
    const found = this.#rejection;
    return found !== undefined && found.lastAtMs - found.sinceMs >= lastingMs ? found.reason : undefined;
  }
}
