/**
 * Limits how long the writes of a term may take after its end. So work that awaits a write can stop within the drain.
 */
import { sharedAbort } from '../util/abort.ts';
import { clock } from '../util/clock.ts';

/**
 * The shortest time for each step of a write that begins late in the drain, in milliseconds. With less time, the outcome of the
 * write would be unknown.
 */
const LEAST_SHARE_MS = 500;

export interface WriteLimits {
  /**
   * Aborts after a quarter of the drain, or of the part that is left when the write begins. Then there is still time to settle
   * the write.
   */
  readonly sending: AbortSignal;
  /** Aborts after half of the drain, or of the part that is left when the write begins. The rest is for the work. */
  readonly settling: AbortSignal;
}

export class PendingWrites {
  readonly #drainTimeoutMs: number;
  /** Limits all writes that begin while the term is current. Created on first use, because most terms end without a write. */
  #limits: CutOff | undefined;
  /** When the drain is over; undefined while the term is current. */
  #drainUntilMs: number | undefined;

  constructor(drainTimeoutMs: number) {
    this.#drainTimeoutMs = drainTimeoutMs;
  }

  /** Runs a write. A write that begins in the drain gets a share of the remaining time. */
  async run<T>(send: (limits: WriteLimits) => Promise<T>): Promise<T> {
    const untilMs = this.#drainUntilMs;
    const limits = untilMs === undefined ? (this.#limits ??= new CutOff()) : new CutOff();
    const running = limits.run(send);
    if (untilMs !== undefined) limits.begin(Math.max(LEAST_SHARE_MS, (untilMs - clock.now()) / 4));
    return await running;
  }

  end(): void {
    this.#drainUntilMs = clock.now() + this.#drainTimeoutMs;
    this.#limits?.begin(this.#drainTimeoutMs / 4);
  }
}

/** One timer for several writes. */
class CutOff implements WriteLimits {
  readonly #sending = sharedAbort();
  readonly #settling = sharedAbort();
  #underWay = 0;
  #idle: AbortController | undefined;

  get sending(): AbortSignal {
    return this.#sending.signal;
  }

  get settling(): AbortSignal {
    return this.#settling.signal;
  }

  async run<T>(send: (limits: WriteLimits) => Promise<T>): Promise<T> {
    this.#underWay++;
    try {
      return await send(this);
    } finally {
      if (--this.#underWay === 0) this.#idle?.abort();
    }
  }

  /** Starts the timer, if a write is under way. */
  begin(eachMs: number): void {
    if (this.#underWay > 0) void this.#cutOff(eachMs);
  }

  async #cutOff(eachMs: number): Promise<void> {
    const { signal } = (this.#idle = sharedAbort());
    for (const limit of [this.#sending, this.#settling]) {
      await clock.sleep(eachMs, signal);
      if (signal.aborted) return;
      limit.abort();
    }
  }
}
