import { setTimeout as sleep } from 'node:timers/promises';

const LOOK_EVERY_MS = 10;

/**
 * A pause between two looks that takes longer counts as this long. The machine stalled this process then: timers fire before
 * what arrived meanwhile is read, so the stalled time was no time in which the process could have seen anything.
 */
const MOST_PER_PAUSE_MS = 50;

/** @returns how much of a limit the pause used up. */
async function pause(signal?: AbortSignal): Promise<number> {
  const beganAtMs = performance.now();
  await sleep(LOOK_EVERY_MS, undefined, { signal });
  return Math.min(performance.now() - beganAtMs, MOST_PER_PAUSE_MS);
}

/**
 * Waits until the check passes (neither throws nor returns false).
 * @param withinMs a limit that follows from the awaited event, such as a TTL. Time for which the process was stalled is not counted.
 * @throws the last error of the check.
 */
export async function eventually<T>(
  check: () => T | Promise<T>,
  { withinMs }: { withinMs: number },
): Promise<T> {
  let leftMs = withinMs;
  for (;;) {
    const beganAtMs = performance.now();
    try {
      const result = await check();
      if (result !== false) return result;
      throw new Error(`still not so: ${check.toString()}`);
    } catch (error) {
      if (leftMs < 0) throw error;
    }
    leftMs -= performance.now() - beganAtMs;
    leftMs -= await pause();
  }
}

/**
 * @param withinMs time for which the process was stalled is not counted.
 * @throws if the promise has not settled in time; the message names `what`.
 */
export async function within<T>(withinMs: number, what: string, promise: PromiseLike<T>): Promise<T> {
  const over = new AbortController();
  const tooLate = async (): Promise<never> => {
    for (let leftMs = withinMs; leftMs > 0;) leftMs -= await pause(over.signal);
    throw new Error(`${what}: not within ${withinMs} ms`);
  };
  const late = tooLate();
  late.catch(() => undefined); // the promise settled first
  try {
    return await Promise.race([promise, late]);
  } finally {
    over.abort();
  }
}

/** The reason of a signal, as soon as it aborts. */
export const abortOf = (signal: AbortSignal): Promise<unknown> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve(signal.reason);
    else signal.addEventListener('abort', () => resolve(signal.reason), { once: true });
  });
