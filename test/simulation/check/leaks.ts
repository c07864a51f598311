/** After `close()` no timer, connection or listener of an election is left. */
import type { World } from '../world/world.ts';
import type { Violation } from './verdict.ts';

export function leftOpen(world: World): readonly Violation[] {
  const closed = new Set(
    world.record.told
      .filter(({ fact }) => fact.type === 'left' && fact.how === 'close')
      .map(({ process }) => process),
  );
  return world.processes.flatMap((process): Violation[] => {
    const { name } = process;
    if (!process.isAlive) return [];
    if (!closed.has(name)) return [{ promise: 'S5', what: `close() of ${name} did not resolve` }];
    const left = {
      timers: process.loop.timers,
      connections: world.network.connectionsOf(process),
    };
    return Object.entries(left)
      .filter(([, count]) => count > 0)
      .map(([what, count]) => ({
        promise: 'S5',
        what: `after close() of ${name} ${count} ${what} were left`,
      }));
  });
}
