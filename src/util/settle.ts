import { onAbort } from './abort.ts';
import { afterTurn } from './clock.ts';

export interface Limits {
  /** Default: no limit. */
  readonly withinMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Waits until the promise settles, the limit passes or the signal aborts. Leaves no timer and no listener behind. A result that
 * arrived while the event loop was blocked counts as in time.
 *
 * @param instead called if the limit passes or the signal aborts first. Its return value or error is the result.
 */
export function settle<T, I>(
  promise: PromiseLike<T>,
  { withinMs, signal }: Limits,
  instead: (ended: 'timeout' | 'aborted') => I,
): Promise<T | I> {
  return new Promise<T | I>((resolve, reject) => {
    let isOver = false;
    const end = (): boolean => {
      if (isOver) return false;
      isOver = true;
      cancelTimer?.();
      offSignal?.();
      return true;
    };
    const giveUp = (ended: 'timeout' | 'aborted'): void => {
      if (!end()) return;
      try {
        resolve(instead(ended));
      } catch (error) {
        reject(error as Error);
      }
    };
    promise.then(
      (value) => void (end() && resolve(value)),
      (error: unknown) => void (end() && reject(error as Error)),
    );
    const isAborted = signal?.aborted === true;
    const cancelTimer =
      withinMs === undefined || isAborted ? undefined : afterTurn(withinMs, () => giveUp('timeout'));
    const offSignal = isAborted ? undefined : signal && onAbort(signal, () => giveUp('aborted'));
    if (isAborted) giveUp('aborted');
  });
}

/**
 * Waits for a promise that does not reject.
 *
 * @returns false if the limit has passed first. An abort counts as settled.
 */
export const settledWithin = (
  promise: Promise<unknown>,
  withinMs: number,
  signal?: AbortSignal,
): Promise<boolean> =>
  settle(
    promise.then(() => true),
    { withinMs, signal },
    (ended) => ended === 'aborted',
  );

export const isPromise = (value: unknown): value is PromiseLike<unknown> =>
  typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
