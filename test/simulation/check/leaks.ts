/**
 * After `close()` no connection of an election remains. No timer remains either, once the work of the
 * application has ended.
 */
import type { World } from '../world/world.ts';
import type { Violation } from './violation.ts';

export function leftOpen({ processes, left }: World): readonly Violation[] {
  const closed = new Set(left.map(({ process }) => process));
  const alive = processes.filter(({ isAlive }) => isAlive);
  const unresolved = alive
    .filter(({ name }) => !closed.has(name))
    .map(({ name }) => `close() of ${name} did not resolve`);
  const connections = left
    .filter(({ connections: count }) => count > 0)
    .map(({ process, connections: count }) => `after close() of ${process} ${count} connections were left`);
  const timers = alive
    .filter(({ loop }) => loop.timers > 0)
    .map(({ name, loop }) => `after close() of ${name} ${loop.timers} timers were left`);
  return [...unresolved, ...connections, ...timers].map((what) => ({ promise: 'S5', what }));
}
