import { readdirSync, readFileSync } from 'node:fs';
import { Election } from 'etcd-election';
import { describe, expect, test } from 'vitest';
import { coverage, type Coverage } from '../../bench/guard/coverage.ts';
import { rows } from '../../bench/guard/rows.ts';
import { LiveTerm } from '../../src/term/live-term.ts';

// Every public function has rows in the guard matrix. The types of coverage.ts require a line for each. These tests
// compare the lines with the exports at run time, and with the existing rows.

const { exports } = JSON.parse(readFileSync('package.json', 'utf8')) as {
  exports: Record<string, { 'etcd-election:source'?: string } | string>;
};
const entries = Object.entries(exports).flatMap(([name, entry]) =>
  typeof entry === 'string' ? [] : [[name, entry['etcd-election:source']!] as const],
);
const named = new Set(rows.map(({ name }) => name));
const SCENARIOS = 'bench/guard/scenarios';
const program = ['bench/guard/row.ts', ...readdirSync(SCENARIOS).map((file) => `${SCENARIOS}/${file}`)]
  .map((file) => readFileSync(file, 'utf8'))
  .join('\n');

test.each(entries)('G1: every export of %s is covered', async (name, source) => {
  const found = Object.keys((await import(`../../${source}`)) as object);
  expect(found.sort()).toEqual(Object.keys(coverage[name as '.']).sort());
});

/** Members of the term that only the library calls. */
const INTERNAL = new Set([
  'constructor',
  'toJSON',
  'end',
  'lost',
  'lostInEtcd',
  'holdsKey',
  'closeWrites',
  'keyLost',
  'isOver',
  'leftMs',
  'quietMs',
  'rest',
  'endSignal',
]);

test.each([
  ['Election', Election.prototype, coverage.election],
  ['Term', LiveTerm.prototype, coverage.term],
] as const)('G1: every method of %s is covered', (_, prototype, covered) => {
  const found = Object.getOwnPropertyNames(prototype).filter((name) => !INTERNAL.has(name));
  expect(found.filter((name) => !(name in covered))).toEqual([]);
});

const lines = Object.entries(coverage).flatMap(([of, covered]) =>
  Object.entries(covered as Record<string, Coverage>).map(([name, line]) => ({
    name: `${of} ${name}`,
    line,
  })),
);

describe.each(lines)('$name', ({ line }) => {
  test('G1: each kind of answer has rows in the matrix, or a reason why it cannot occur', () => {
    if ('memory' in line) return expect(line.memory).not.toBe('');
    for (const cell of [line.success, line.known, line.etcd]) {
      if ('never' in cell) expect(cell.never.length).toBeGreaterThan(10);
      else
        for (const way of [cell.loop, cell.flood]) {
          expect(way.length).toBeGreaterThan(0);
          expect(way.filter((row) => !named.has(row))).toEqual([]);
        }
    }
  });
});

test('G1: every row of the matrix has a scenario', () => {
  const missing = rows
    .map(({ name, scenario = name }) => scenario)
    .filter((scenario) => !scenario.includes('when all is over'))
    .filter(
      (scenario) =>
        !program.includes(`'${scenario}'`) &&
        !program.includes(`"${scenario}"`) &&
        !program.includes(`${scenario}:`),
    );
  expect(missing).toEqual([]);
});
