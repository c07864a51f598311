/**
 * What the loop guards have counted, by election and by kind of loop (`campaign`, `reads` …).
 */
import { loopGuards } from '../index.ts';

interface GuardSum {
  readonly labels: { readonly election: string; readonly loop: string };
  readonly rounds: number;
  readonly heldMs: number;
}
export type GuardSums = ReadonlyMap<string, GuardSum>;

export function sumGuards(): GuardSums {
  const sums = new Map<string, GuardSum>();
  for (const { purpose: loop, election, rounds, heldMs } of loopGuards()) {
    if (rounds === 0) continue;
    const name = JSON.stringify([election, loop]);
    const sum = sums.get(name) ?? { labels: { election, loop }, rounds: 0, heldMs: 0 };
    sums.set(name, { ...sum, rounds: sum.rounds + rounds, heldMs: sum.heldMs + heldMs });
  }
  return sums;
}
