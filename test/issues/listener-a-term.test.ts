// A long campaign loses its leadership sometimes. Each time one more listener stayed on the signal of the whole
// campaign: a leak that no test of a single term can see.
import { expect, onTestFinished, vi } from 'vitest';
import { test } from '../support/world.ts';

const TERMS = 4; // fewer than the guard's burst

test('a campaign keeps no listeners of its earlier terms', async ({ candidate }) => {
  const added = vi.spyOn(AbortSignal.prototype, 'addEventListener');
  const removed = vi.spyOn(AbortSignal.prototype, 'removeEventListener');
  onTestFinished(() => void vi.restoreAllMocks());
  const alice = candidate('alice');
  await alice.campaign();

  const held = (): Map<unknown, number> => {
    const counts = new Map<unknown, number>();
    for (const signal of added.mock.contexts) counts.set(signal, (counts.get(signal) ?? 0) + 1);
    for (const signal of removed.mock.contexts) counts.set(signal, (counts.get(signal) ?? 0) - 1);
    return counts;
  };
  const before = held();
  for (let term = 0; term < TERMS; term++) {
    await alice.election.stepDown();
    await alice.elected();
  }
  const grown = [...held()].map(([signal, listeners]) => listeners - (before.get(signal) ?? 0));
  expect(Math.max(...grown)).toBeLessThan(TERMS);
});
