/**
 * Limits how often a client retries what etcd refuses. An operator causes and ends a refusal. A short gap in permissions is
 * noticed soon; a long one costs few tries. All elections of a client retry together: a hundred refused elections log in
 * once.
 */
import { sharedAbort } from '../util/abort.ts';
import { settle } from '../util/settle.ts';
import { LoopGuard, type GuardSettings } from '../loop-guard/loop-guard.ts';

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
  #guard = new LoopGuard('', '');
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
      this.#turn = undefined;
    });
    return { over, stop, waiting: 0 };
  }

  /** etcd permits one of the elections again: the others continue now. */
  permitted(): void {
    this.#guard.wake();
    this.#guard = new LoopGuard('', '');
  }
}
