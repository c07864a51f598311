/**
 * How often what etcd refuses is tried again. An operator caused it, and an operator ends it: a short gap in permissions
 * is found over soon, a long one is not hammered at. All elections of a client take turns together, so that a hundred
 * refused elections log in once.
 */
import { sharedAbort } from '../util/abort.ts';
import { settle } from '../util/settle.ts';
import { LoopGuard, type GuardSettings } from '../loop-guard/loop-guard.ts';

/** The cap is also how long a permission that is back can go unnoticed at most. */
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
    turn.stop.abort(); // nothing waits: its timer goes
    if (this.#turn === turn) this.#turn = undefined;
  }

  #begin(): Turn {
    const stop = sharedAbort();
    const over = this.#guard.pass('environment', SETTINGS, { signal: stop.signal }).then(() => {
      this.#turn = undefined;
    });
    return { over, stop, waiting: 0 };
  }

  /** etcd permits one of them again: the others need not wait. */
  permitted(): void {
    this.#guard.wake();
    this.#guard = new LoopGuard('', '');
  }
}
