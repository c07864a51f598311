/**
 * Counts microtasks: virtual time hides a loop of promises, because it takes none. Counting makes promises half as slow
 * again, so one run in eight is counted.
 */
import { promiseHooks } from 'node:v8';

export const isCounted = (seed: number): boolean => seed % 8 === 0;

/** @param count is called before each microtask of a promise. */
export function counting<T>(count: () => void, run: () => T): T {
  const stop = promiseHooks.createHook({ before: count }) as () => void;
  try {
    return run();
  } finally {
    stop();
  }
}
