import fc from 'fast-check';
import { expect, test } from 'vitest';
import { MOST_BYTES, MOST_TOGETHER, split, type Splittable } from '../../src/core/split.ts';

const bytes = fc.oneof(fc.nat(2_000), fc.nat(2 * MOST_BYTES));
const requests = fc.array(
  fc.record({
    keyPrefix: fc.nat(150).map((n) => `election/${n}/`),
    sentBytes: bytes,
    answerBytes: bytes,
    withinMs: fc.constantFrom(2_500, 2_500, 2_500, 1_000),
  }),
  { maxLength: 300 },
);

const sum = (group: readonly Splittable[], of: 'sentBytes' | 'answerBytes'): number =>
  group.reduce((all, one) => all + one[of], 0);

test('S1: no two entries of one election share a transaction, and none is too large', () => {
  fc.assert(
    fc.property(requests, (all) => {
      const groups = split(all);
      expect(groups.flat()).toEqual(all);
      for (const group of groups) {
        expect(new Set(group.map(({ keyPrefix }) => keyPrefix)).size).toBe(group.length);
        expect(new Set(group.map(({ withinMs }) => withinMs)).size).toBe(1);
        expect(group.length).toBeLessThanOrEqual(MOST_TOGETHER);
        if (group.length === 1) continue;
        expect(sum(group, 'sentBytes')).toBeLessThanOrEqual(MOST_BYTES);
        expect(sum(group, 'answerBytes')).toBeLessThanOrEqual(MOST_BYTES);
      }
    }),
  );
});

test('a thousand small entries make sixteen transactions', () => {
  const all = Array.from({ length: 1_000 }, (_, n) => ({
    keyPrefix: `e${n}/`,
    sentBytes: 200,
    answerBytes: 200,
    withinMs: 2_500,
  }));
  expect(split(all)).toHaveLength(16);
});
