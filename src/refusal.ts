/**
 * What etcd refuses to a replica that has stood already: a role taken away, a password changed, a user deleted. It is an
 * outage with an operator as its cause. So we try on, slowly, and say so until it is over.
 */
import type { EtcdFault } from './etcd/fault.ts';
import type { RefusedPace } from './guard/refused-pace.ts';
import { clock } from './time.ts';

/** A refusal that lasts is told again after so long, in milliseconds. */
const REMIND_EVERY_MS = 60_000;

export class Refusal {
  readonly #pace: RefusedPace;
  readonly #tell: (reason: string, forMs: number) => void;
  #since: { readonly atMs: number; reason: string; toldAtMs: number } | undefined;

  /** @param tell says so, at first, when the reason changes, and each minute. */
  constructor(pace: RefusedPace, tell: (reason: string, forMs: number) => void) {
    this.#pace = pace;
    this.#tell = tell;
  }

  /** What etcd said last; undefined while it permits. */
  get reason(): string | undefined {
    return this.#since?.reason;
  }

  note({ message }: EtcdFault): void {
    const nowMs = clock.now();
    const before = this.#since;
    const since = (this.#since ??= { atMs: nowMs, reason: message, toldAtMs: nowMs });
    const isNews = before === undefined || before.reason !== message;
    if (!isNews && nowMs - since.toldAtMs < REMIND_EVERY_MS) return;
    since.reason = message;
    since.toldAtMs = nowMs;
    this.#tell(message, nowMs - since.atMs);
  }

  /** Waits before the next try; not at all while etcd permits. */
  async pass(signal: AbortSignal): Promise<void> {
    if (this.#since !== undefined) await this.#pace.pass(signal);
  }

  /** etcd permits it again. */
  over(): void {
    if (this.#since === undefined) return;
    this.#since = undefined;
    this.#pace.permitted();
  }
}
