import { onAbort } from './abort.ts';
import { clock } from './clock.ts';

/**
 * Waits for a promise that does not reject, this many milliseconds at most.
 *
 * @param signal ends the wait as if the promise had settled.
 * @returns whether it has settled.
 */
export async function settledWithin(
  promise: Promise<void>,
  ms: number,
  signal?: AbortSignal,
): Promise<boolean> {
  const over = new AbortController();
  const settle = (): void => over.abort();
  const off = signal && onAbort(signal, settle);
  void promise.then(settle);
  await clock.sleep(ms, over.signal);
  off?.();
  return over.signal.aborted;
}
