/**
 * A test suite campaigns and resigns many times in one process. The loop guard takes that for a hot loop, and would delay the
 * suite. New objects would not help, because the guard's state belongs to the process.
 */
const home = globalThis as { [key: symbol]: Map<string, Map<string, unknown>> | undefined };

/**
 * Forgets all loop guards of this process: clients and later elections get new ones. An existing `Election` keeps the guard of its
 * campaign. Call this function only between test cases or benchmarks. A separate prefix for every case is not
 * enough: it gives new guards to elections, but not to clients and endpoints, and does not reset the limit of new elections.
 */
export function resetLoopGuards(): void {
  for (const kind of [
    'guard',
    'shared-delay',
    'new-elections',
    'reconnect-backoff',
    'endpoint-calls',
    'iterations',
  ])
    home[Symbol.for('etcd-election/1')]?.get(kind)?.clear();
}
