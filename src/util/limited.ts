import { EtcdError } from '../etcd/etcd-error.ts';

export interface Limits {
  readonly withinMs: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Waits for a promise no longer than the limit, and not beyond an abort.
 *
 * @param late takes what comes after that.
 * @throws {EtcdError} what the promise rejects with is passed on as it is.
 */
export function limited<T>(
  what: string,
  promise: Promise<T>,
  { withinMs, signal }: Limits,
  late: (value: T) => void = () => undefined,
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    let over = false;
    const end = (): boolean => {
      if (over) return false;
      over = true;
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
      return true;
    };
    const giveUp = (kind: 'unavailable' | 'aborted', said: string): void => {
      if (end()) reject(new EtcdError(kind, `${what}: ${said}`, false));
    };
    const abort = (): void => giveUp('aborted', 'aborted');
    const timer = setTimeout(
      () => giveUp('unavailable', `nothing came within ${Math.round(withinMs)} ms`),
      withinMs,
    );
    signal?.addEventListener('abort', abort, { once: true });
    if (signal?.aborted === true) abort();
    promise.then(
      (value) => (end() ? resolve(value) : late(value)),
      (error: unknown) => void (end() && reject(error as Error)),
    );
  });
}
