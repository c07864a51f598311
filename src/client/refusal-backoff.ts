/**
 * Limits how often a client retries what etcd refuses. The delays grow: a permission that returns soon is noticed
 * soon, and a long refusal causes few tries. All elections of a client retry together, so a hundred refused elections
 * log in once.
 */
import { sharedAbort } from '../util/abort.ts';
import { settle } from '../util/settle.ts';
import { privateGuard, type GuardSettings } from '../loop-guard/loop-guard.ts';

/** The cap is also the longest time until a restored permission is noticed. */
const SETTINGS: GuardSettings = {
  burst: 1,
  baseMs: 500,
  capMs: 30_000,
  outsideCapMs: 30_000,
  healthyAfterMs: 60_000,
};

interface Round {
  readonly over: Promise<void>;
  readonly stop: AbortController;
  waiting: number;
}

export class RefusalBackoff {
  #guard = privateGuard();
  #round: Round | undefined;

  /** Waits for the next round of retries, or until the signal aborts. */
  async pass(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const round = (this.#round ??= this.#begin());
    round.waiting++;
    await settle(round.over, { signal }, () => undefined);
    if (--round.waiting > 0) return;
    round.stop.abort(); // nothing waits: ends the timer
    if (this.#round === round) this.#round = undefined;
  }

  #begin(): Round {
    const stop = sharedAbort();
    const over = this.#guard.pass('environment', SETTINGS, { signal: stop.signal }).then(() => {
      if (this.#round === round) this.#round = undefined;
    });
    const round: Round = { over, stop, waiting: 0 };
    return round;
  }

  /** etcd permits one of the elections again: the others continue now. */
  permitted(): void {
    this.#guard.wake();
    this.#guard = privateGuard();
  }
}
