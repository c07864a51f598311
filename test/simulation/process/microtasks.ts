/**
 * Counts microtasks: a loop of promises takes no virtual time, so only its count shows it. Counting makes
 * promises 50 % slower, so only one run in eight counts.
 */
import { promiseHooks } from 'node:v8';
import vm from 'node:vm';

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

/** In real milliseconds: no honest run takes longer, even on a machine with a hundred times the load. */
const LONGEST_RUN_MS = 900_000;

const watchedRun = new vm.Script('run()', { filename: 'watched-run.js' });

/**
 * Aborts a run in which a process spins, in a loop or in microtasks that create microtasks.
 * @param spins is called then.
 */
export function watched<T>(run: () => T, spins: () => T, longestMs = LONGEST_RUN_MS): T {
  const context = vm.createContext({ run });
  try {
    return watchedRun.runInContext(context, { timeout: longestMs }) as T;
  } catch (error) {
    if ((error as { code?: string }).code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw error;
    return spins();
  }
}
