/**
 * Reports failing writes under a term: the first failure at once, then the number of failures every minute.
 */
import { clock } from '../util/clock.ts';

const REMIND_EVERY_MS = 60_000;

export class WriteFailures {
  readonly #tell: (failures: number, reason: string) => void;
  #failures = 0;
  #toldAtMs: number | undefined;

  /** @param tell called with the number of failures since the last call. */
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
