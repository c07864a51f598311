/**
 * The signals that end the writes of one term. After the end of the term they limit writes under way, so that the work that
 * awaits them can stop within the drain.
 */
import { sharedAbort } from '../util/abort.ts';
import { clock } from '../util/clock.ts';

export class PendingWrites {
  readonly #drainTimeoutMs: number;
  /** Created for the first write: most terms end without one. */
  #limits: { readonly sending: AbortController; readonly settling: AbortController } | undefined;
  #idle: AbortController | undefined;
  #count = 0;

  constructor(drainTimeoutMs: number) {
    this.#drainTimeoutMs = drainTimeoutMs;
  }

  /** Aborts after a quarter of the drain. A write under way can then still be settled. */
  get sending(): AbortSignal {
    return this.#made.sending.signal;
  }

  /** Aborts after half of the drain. The rest is left for the work. */
  get settling(): AbortSignal {
    return this.#made.settling.signal;
  }

  async run<T>(send: () => Promise<T>): Promise<T> {
    this.#count++;
    try {
      return await send();
    } finally {
      if (--this.#count === 0) this.#idle?.abort();
    }
  }

  /** The term is over. */
  end(): void {
    if (this.#count > 0) void this.#cutOff(this.#drainTimeoutMs / 4);
  }

  get #made(): { readonly sending: AbortController; readonly settling: AbortController } {
    return (this.#limits ??= { sending: sharedAbort(), settling: sharedAbort() });
  }

  async #cutOff(eachMs: number): Promise<void> {
    const { signal } = (this.#idle = sharedAbort());
    for (const limit of [this.#made.sending, this.#made.settling]) {
      await clock.sleep(eachMs, signal);
      if (signal.aborted) return;
      limit.abort();
    }
  }
}
