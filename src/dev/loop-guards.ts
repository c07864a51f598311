/** The state of the loop guards belongs to the process, so new clients and elections do not reset it. */
const home = globalThis as { [key: symbol]: Map<string, Map<string, unknown>> | undefined };

/**
 * Forgets all loop guards of this process: clients and later elections get new ones. An existing `Election` keeps the
 * guard of its campaign. Call this function only between test cases or benchmarks. Without this call, a suite that campaigns
 * and resigns many times looks like a hot loop. A separate prefix for every case is not enough, because clients and
 * endpoints have guards too, and the number of new elections is limited.
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
