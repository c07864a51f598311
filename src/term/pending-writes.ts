/**
 * The writes of one term that are under way. When the term ends they get a limit, so that the work that awaits them can
 * stop within the drain.
 */
import { sharedAbort } from '../util/abort.ts';
import { clock } from '../util/clock.ts';

export class PendingWrites {
  readonly #drainTimeoutMs: number;
  readonly #sending = sharedAbort();
  readonly #settling = sharedAbort();
  readonly #idle = sharedAbort();
  #count = 0;
  #isOver = false;

  constructor(drainTimeoutMs: number) {
    this.#drainTimeoutMs = drainTimeoutMs;
  }

  /** Aborts a quarter of the drain after the term's end: what is under way may then still be settled. */
  get sending(): AbortSignal {
    return this.#sending.signal;
  }

  /** Aborts half of the drain after the term's end: the rest of it is left for the work. */
  get settling(): AbortSignal {
    return this.#settling.signal;
  }

  async run<T>(send: () => Promise<T>): Promise<T> {
    this.#count++;
    try {
      return await send();
    } finally {
      if (--this.#count === 0 && this.#isOver) this.#idle.abort();
    }
  }

  /** The term is over. */
  end(): void {
    this.#isOver = true;
    if (this.#count > 0) void this.#cutOff(this.#drainTimeoutMs / 4);
  }

  async #cutOff(eachMs: number): Promise<void> {
    for (const limit of [this.#sending, this.#settling]) {
      await clock.sleep(eachMs, this.#idle.signal);
      if (this.#idle.signal.aborted) return;
      limit.abort();
    }
  }
}
