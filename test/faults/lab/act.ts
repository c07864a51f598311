import type { AppendOutcome } from './history.ts';

/** A period of leadership to act in, from any library. */
export interface Act {
  readonly token: bigint;
  readonly signal: AbortSignal;
  isCurrent(): boolean;
  append(counter: number): Promise<AppendOutcome>;
}

/** Waits for the time, or until the signal aborts. */
export function hangUp(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted === true) return resolve();
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener('abort', done, { once: true });
  });
}
