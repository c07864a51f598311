import { onAbort } from './abort.ts';
import { after } from './clock.ts';

/**
 * Waits for a promise that does not reject, this many milliseconds at most.
 *
 * @param signal ends the wait as if the promise had settled.
 * @returns whether it has settled.
 */
export function settledWithin(promise: Promise<void>, ms: number, signal?: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    const end = (hasSettled: boolean): void => {
      cancel();
      off?.();
      resolve(hasSettled);
    };
    const cancel = after(ms, () => end(false));
    const off = signal && onAbort(signal, () => end(true));
    void promise.then(() => end(true));
  });
}
