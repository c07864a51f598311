// A campaign that lives for months loses its seat now and then. Each time one more listener once stayed on the signal of the
// whole campaign: a leak that no single test of a term can see.
import { expect, onTestFinished, vi } from 'vitest';
import { test } from '../support/world.ts';

const TERMS = 4; // fewer than the guard's burst

test('a campaign keeps no listener of each term that it has had', async ({ candidate }) => {
  const held = new Map<AbortSignal, number>();
  const { addEventListener, removeEventListener } = AbortSignal.prototype;
  const count = (signal: AbortSignal, by: number): void =>
    void held.set(signal, (held.get(signal) ?? 0) + by);
  vi.spyOn(AbortSignal.prototype, 'addEventListener').mockImplementation(function (
    this: AbortSignal,
    ...call: Parameters<AbortSignal['addEventListener']>
  ) {
    count(this, 1);
    addEventListener.apply(this, call);
  });
  vi.spyOn(AbortSignal.prototype, 'removeEventListener').mockImplementation(function (
    this: AbortSignal,
    ...call: Parameters<AbortSignal['removeEventListener']>
  ) {
    count(this, -1);
    removeEventListener.apply(this, call);
  });
  onTestFinished(() => void vi.restoreAllMocks());
  const alice = candidate('alice');
  await alice.campaign();

  const before = new Map(held);
  for (let term = 0; term < TERMS; term++) {
    await alice.election.stepDown();
    await alice.elected();
  }
  const grown = [...held].map(([signal, listeners]) => listeners - (before.get(signal) ?? 0));
  expect(Math.max(...grown)).toBeLessThan(TERMS);
});
