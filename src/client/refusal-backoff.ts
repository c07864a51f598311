/**
 * Limits how often a client retries what etcd refuses. An operator causes and ends a refusal. If permission returns
 * soon, we notice it soon; during a long refusal there are few tries. All elections of a client retry together: a hundred refused elections log in
 * once.
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

interface Turn {
  readonly over: Promise<void>;
  readonly stop: AbortController;
  waiting: number;
}

export class RefusalBackoff {
  #guard = privateGuard();
  #turn: Turn | undefined;

  /** Waits for the next turn, or until the signal aborts. */
  async pass(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const turn = (this.#turn ??= this.#begin());
    turn.waiting++;
    await settle(turn.over, { signal }, () => undefined);
    if (--turn.waiting > 0) return;
    turn.stop.abort(); // nothing waits: ends the timer
    if (this.#turn === turn) this.#turn = undefined;
  }

  #begin(): Turn {
    const stop = sharedAbort();
    const over = this.#guard.pass('environment', SETTINGS, { signal: stop.signal }).then(() => {
      if (this.#turn === turn) this.#turn = undefined;
    });
    const turn: Turn = { over, stop, waiting: 0 };
    return turn;
  }

  /** etcd permits one of the elections again: the others continue now. */
  permitted(): void {
    this.#guard.wake();
    this.#guard = privateGuard();
  }
}
