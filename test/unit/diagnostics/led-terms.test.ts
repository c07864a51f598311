import { expect, test } from 'vitest';
import { leadershipNote } from '../../../src/diagnostics/watchdog/led-terms.ts';

const terms = (count: number) =>
  Array.from({ length: count }, (_, index) => ({ name: `e${index}`, fencingToken: '1', validUntil: 5_000 }));

test.for([
  [6, 'it leads 1 more election, and cannot renew there either'],
  [7, 'it leads 2 more elections, and cannot renew there either'],
] as const)('a starved process that leads %d elections: the last note', ([count, said]) => {
  expect(leadershipNote('starved', terms(count), 0).at(-1)).toBe(said);
});

test('a starved process that leads 5 elections: one note for each', () => {
  const notes = leadershipNote('starved', terms(5), 0);
  expect(notes).toHaveLength(5);
  expect(notes.at(-1)).toContain('this process leads "e4"');
});
