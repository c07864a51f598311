/**
 * Says that writes under a term fail: once when it begins, then with the number of failures each minute.
 */
import { clock } from '../util/clock.ts';

const REMIND_EVERY_MS = 60_000;

export class WriteFailures {
  readonly #tell: (failures: number, reason: string) => void;
  #failures = 0;
  #toldAtMs: number | undefined;

  /** @param tell called with the failures since it was called last. */
  constructor(tell: (failures: number, reason: string) => void) {
    this.#tell = tell;
  }

  failed(reason: string): void {
    this.#failures++;
    const nowMs = clock.now();
    if (this.#toldAtMs !== undefined && nowMs - this.#toldAtMs < REMIND_EVERY_MS) return;
    this.#toldAtMs = nowMs;
    this.#tell(this.#failures, reason);
    this.#failures = 0;
  }
}
