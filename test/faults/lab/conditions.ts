/** Waits for conditions in a lab: they are looked at again at every piece of news. */
import { nowMs } from './history.ts';
import type { MachineNoise } from './machine-noise.ts';

/** The longest wait for a condition in a lab, in milliseconds, unless a test sets another one. */
const PATIENCE_MS = 60_000;

export interface Condition<T> {
  readonly what: string;
  readonly look: () => T | undefined | false;
  readonly withinMs?: number | undefined;
  readonly noise: MachineNoise;
  /** The state that an error shows. */
  readonly describe: () => string;
}

export class Conditions {
  readonly #waiting = new Set<() => void>();

  lookAgain(): void {
    for (const look of this.#waiting) look();
  }

  /**
   * Resolves with the result of `look`, which is called at every piece of news, and every 20 ms for changes
   * without news. Time for which the machine was stalled does not count.
   */
  until<T>({ what, look, withinMs = PATIENCE_MS, noise, describe }: Condition<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const fromMs = nowMs();
      const end = (): void => {
        clearInterval(again);
        this.#waiting.delete(check);
      };
      const check = (): void => {
        const found = look();
        if (found === undefined || found === false) return;
        end();
        resolve(found);
      };
      const again = setInterval(() => {
        check();
        const toMs = nowMs();
        if (toMs - fromMs - noise.within({ fromMs, toMs }) < withinMs) return;
        end();
        reject(new Error(`within ${withinMs} ms: ${what}\n${describe()}`));
      }, 20);
      this.#waiting.add(check);
      check();
    });
  }
}
