/** The report on a run that broke a promise: how to repeat it, the necessary faults, and the events. */
import { timeline } from '../check/timeline.ts';
import type { Outcome } from './run.ts';

export function report({ setup, world, violations }: Outcome): string {
  const { seed, ttlSeconds, candidates, faults } = setup;
  return [
    `seed ${seed}: ${candidates} candidates, TTL ${ttlSeconds} s`,
    ...violations.map(({ promise, what }) => `  ${promise}: ${what}`),
    `faults that are needed (${faults.length}):`,
    ...world.faults.map(
      ({ fromMs, toMs, what }) =>
        `  ${(fromMs / 1000).toFixed(3)} s to ${(toMs / 1000).toFixed(3)} s: ${what}`,
    ),
    'what happened:',
    ...timeline(world).map((line) => `  ${line}`),
    `again: npm run simulate -- --seed ${seed}`,
  ].join('\n');
}
