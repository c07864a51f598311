/**
 * A test suite campaigns, resigns and campaigns again in one process, as no service does, and the loop guard would
 * hold it back: its state belongs to the process, whatever objects come and go.
 */
const home = globalThis as { [key: symbol]: Map<string, Map<string, unknown>> | undefined };

/**
 * Makes every loop guard of this process forget what it has counted: those of elections that are made from now on,
 * and those of clients. For tests and benchmarks only, between one case and the next; a prefix of its own for each case does as well.
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
