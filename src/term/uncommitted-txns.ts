/**
 * Detects transactions that were built but not committed. `.commit()` is easily forgotten, and nothing else reports that.
 */
import { after, clock } from '../util/clock.ts';

/** How long a transaction may take to be built, in milliseconds. */
const BUILT_WITHIN_MS = 1_000;

/** How many transactions are checked at once. More need not be: one log line is enough. */
const MOST = 1_000;

export class UncommittedTxns {
  readonly #tell: () => void;
  readonly #openedAtMs = new Map<object, number>();
  #isArmed = false;
  #isTold = false;

  /** @param tell called once, when the first uncommitted transaction is found. */
  constructor(tell: () => void) {
    this.#tell = tell;
  }

  opened(txn: object): void {
    if (this.#isTold || this.#openedAtMs.size >= MOST) return;
    this.#openedAtMs.set(txn, clock.now());
    this.#arm(BUILT_WITHIN_MS);
  }

  committed(txn: object): void {
    this.#openedAtMs.delete(txn);
  }

  /** Sets one timer for all transactions, only while there is one to check. It does not keep the process alive. */
  #arm(afterMs: number): void {
    if (this.#isArmed) return;
    this.#isArmed = true;
    after(afterMs, () => this.#look(), true);
  }

  #look(): void {
    this.#isArmed = false;
    const [oldestAtMs] = this.#openedAtMs.values();
    if (oldestAtMs === undefined) return;
    const leftMs = oldestAtMs + BUILT_WITHIN_MS - clock.now();
    if (leftMs > 0) return this.#arm(leftMs);
    this.#isTold = true;
    this.#openedAtMs.clear();
    this.#tell();
  }
}
