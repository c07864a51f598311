/**
 * Detects transactions that were built but not committed. `.commit()` is easily forgotten, and nothing else reports that.
 */
import { after, clock } from '../util/clock.ts';

/** How long a transaction may take to be built, in milliseconds. */
const BUILT_WITHIN_MS = 1_000;

/** How many transactions are checked at once. The others are ignored, because one log line is enough. */
const MOST = 1_000;

export class UncommittedTxns {
  readonly #tell: () => void;
  /** Created on first use, because most terms have no transactions. */
  #openedAtMs: Map<object, number> | undefined;
  #cancelTimer: (() => void) | undefined;
  /** Whether no more transactions are checked: one was reported, or the term is over. */
  #isDone = false;

  /** @param tell called once, when the first uncommitted transaction is found. */
  constructor(tell: () => void) {
    this.#tell = tell;
  }

  opened(txn: object): void {
    this.#openedAtMs ??= new Map();
    if (this.#isDone || this.#openedAtMs.size >= MOST) return;
    this.#openedAtMs.set(txn, clock.now());
    this.#arm(BUILT_WITHIN_MS);
  }

  committed(txn: object): void {
    this.#openedAtMs?.delete(txn);
  }

  ended(): void {
    this.#isDone = true;
    this.#openedAtMs?.clear();
    this.#cancelTimer?.();
  }

  /** Sets one timer for all transactions. This timer does not keep the process alive. */
  #arm(afterMs: number): void {
    this.#cancelTimer ??= after(afterMs, () => this.#look(), true);
  }

  #look(): void {
    this.#cancelTimer = undefined;
    const [oldestAtMs] = this.#openedAtMs?.values() ?? [];
    if (oldestAtMs === undefined) return;
    const leftMs = oldestAtMs + BUILT_WITHIN_MS - clock.now();
    if (leftMs > 0) return this.#arm(leftMs);
    this.ended();
    this.#tell();
  }
}
