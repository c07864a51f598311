import { setTimeout as sleep } from 'node:timers/promises';

const LOOK_EVERY_MS = 10;

/**
 * Waits until the check passes (neither throws nor returns false).
 *
 * @param withinMs a limit that follows from what is waited for, such as a TTL.
 * @throws what the check threw last.
 */
export async function eventually<T>(
  check: () => T | Promise<T>,
  { withinMs }: { withinMs: number },
): Promise<T> {
  const dueAtMs = performance.now() + withinMs;
  for (;;) {
    try {
      const result = await check();
      if (result !== false) return result;
      throw new Error(`still not so: ${check.toString()}`);
    } catch (error) {
      if (performance.now() > dueAtMs) throw error;
    }
    await sleep(LOOK_EVERY_MS);
  }
}

/** @throws if the promise has not settled in that time; says what was waited for. */
export async function within<T>(withinMs: number, what: string, promise: PromiseLike<T>): Promise<T> {
  const over = new AbortController();
  const tooLate = sleep(withinMs, undefined, { signal: over.signal }).then(
    (): never => {
      throw new Error(`${what}: not within ${withinMs} ms`);
    },
    (): never => undefined as never, // settled in time
  );
  try {
    return await Promise.race([promise, tooLate]);
  } finally {
    over.abort();
  }
}

/** The reason with which a signal aborts, when it does. */
export const abortOf = (signal: AbortSignal): Promise<unknown> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve(signal.reason);
    else signal.addEventListener('abort', () => resolve(signal.reason), { once: true });
  });
