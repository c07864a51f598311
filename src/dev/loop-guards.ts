/**
 * A test suite campaigns and resigns many times in one process. No service does that, so the loop guard would delay it:
 * the guard's state belongs to the process, not to the objects.
 */
const home = globalThis as { [key: symbol]: Map<string, Map<string, unknown>> | undefined };

/**
 * Resets the counts of every loop guard in this process: those of clients, and those of elections that are created from
 * now on. Use it between test cases or benchmarks only. A separate prefix for every case has the same effect.
 */
export function resetLoopGuards(): void {
  for (const kind of [
    'guard',
    'single-flight',
    'new-elections',
    'reconnect-backoff',
    'client-calls',
    'iterations',
  ])
    home[Symbol.for('etcd-election/1')]?.get(kind)?.clear();
}
