/**
 * The time in which no lease can be obtained. Also notices if etcd keeps rejecting our client certificate, or if we keep
 * rejecting etcd's. Then only a restart can bring other files, because etcd3 keeps those that it was created with.
 */
import { isCertificateRejected } from '../core/plain-cause.ts';
import type { HostCause } from '../etcd/members.ts';
import { Outage } from '../logging/outage.ts';
import { clock } from '../util/clock.ts';

interface Rejections {
  readonly sinceMs: number;
  readonly lastAtMs: number;
  readonly reason: string;
  readonly count: number;
  /** How many tries between the first and the last rejection failed for another reason. */
  readonly others: number;
}

export class LeaseOutage extends Outage {
  #rejections: Rejections | undefined;
  /** How many tries have failed for another reason since the last rejection. */
  #othersSince = 0;

  /** @param causes the failures of the hosts. If they change, that is a new cause. */
  override note(reason = '', causes: readonly HostCause[] = []): number | undefined {
    if (isCertificateRejected(reason)) this.#noteRejection(reason);
    else this.#othersSince++;
    return super.note([reason, ...causes.map((each) => `${each.host}: ${each.reason}`)].join('\n'));
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
   * @param lastingMs how long the rejections of this outage must have lasted, in milliseconds. The time after the last
   *   rejection does not count, because a restart does not help if etcd cannot be reached.
   * @returns the cause if a certificate keeps being rejected; otherwise undefined. Also undefined if most tries
   *   fail for another reason. In that case perhaps only one host is set up wrongly, and the other hosts are away.
   */
  rejection(lastingMs: number): string | undefined {
    const found = this.#rejections;
    if (found === undefined || found.count < found.others) return undefined;
    return found.lastAtMs - found.sinceMs >= lastingMs ? found.reason : undefined;
  }
}
