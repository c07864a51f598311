/**
 * The time in which no lease can be obtained. Notices that etcd keeps rejecting our client certificate: etcd3 reads its
 * files once, so only a restart can bring another certificate.
 */
import { isOurCertificateRejected } from '../core/plain-cause.ts';
import { Outage } from '../logging/outage.ts';
import { clock } from '../util/clock.ts';

interface Rejections {
  readonly sinceMs: number;
  readonly lastAtMs: number;
  readonly reason: string;
  readonly count: number;
  /** How many tries between the first and the last rejection failed otherwise. */
  readonly others: number;
}

export class LeaseOutage extends Outage {
  #rejections: Rejections | undefined;
  /** How many tries have failed otherwise since the last rejection. */
  #othersSince = 0;

  override note(reason = ''): number | undefined {
    if (isOurCertificateRejected(reason)) this.#noteRejection(reason);
    else this.#othersSince++;
    return super.note(reason);
  }

  #noteRejection(reason: string): void {
    const nowMs = clock.now();
    const before = this.#rejections;
    this.#rejections =
      before === undefined
        ? { sinceMs: nowMs, lastAtMs: nowMs, reason, count: 1, others: 0 }
        : {
            ...before,
            lastAtMs: nowMs,
            reason,
            count: before.count + 1,
            others: before.others + this.#othersSince,
          };
    this.#othersSince = 0;
  }

  override over(): number | undefined {
    this.#rejections = undefined;
    return super.over();
  }

  /**
   * @param lastingMs the least time between the first and the last rejection of this outage. Failures after the last
   *   rejection do not count: a restart would not help against an etcd that cannot be reached.
   * @returns etcd's words if it keeps rejecting our client certificate; otherwise undefined. Also undefined if most tries fail
   *   otherwise: one host may be set up wrongly, while the others are away.
   */
  rejection(lastingMs: number): string | undefined {
    const found = this.#rejections;
    if (found === undefined || found.count < found.others) return undefined;
    return found.lastAtMs - found.sinceMs >= lastingMs ? found.reason : undefined;
  }
}
