/** A candidate whose drain lasts so long that a call that waits for itself fails its test. */
import type { Election, ElectionOptions } from 'etcd-election';
import type { World } from './world.ts';

/** Far longer than anything here may take: a call that waits for itself would wait for this long. */
export const drainTimeoutMs = 60_000;

export function candidate(world: World, options: ElectionOptions): Election {
  return world.election(world.client(), 'e', { drainTimeoutMs, ...options });
}
