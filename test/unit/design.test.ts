// docs/design.md names the tests of every promise. The file must exist, and a title in it must carry the number.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';

const design = readFileSync('docs/design.md', 'utf8');
const promises = [...design.matchAll(/^\| \*\*([SLGC]\d)\*\* +\|(.*)\|(.*)\|(.*)\|$/gm)].map((row) => ({
  number: row[1]!,
  tests: [...row[3]!.matchAll(/`([^`]+)`/g)].map((match) => match[1]!),
  code: [...row[4]!.matchAll(/`([^`]+)`/g)].map((match) => match[1]!),
}));

/** Titles begin with the numbers they bear: 'S4, L3: our key …' */
function expectTitle(name: string, number: string): void {
  const source = readFileSync(`test/${name}.test.ts`, 'utf8');
  expect(source).toMatch(new RegExp(String.raw`['"\`][SLGCF\d, ]*\b${number}\b[SLGCF\d, ]*: `));
}

const reliability = readFileSync('docs/reliability.md', 'utf8');
const underFaults = [...reliability.matchAll(/^\| ([SL]\d) [^|]*\|([^|]*)\|$/gm)].map((row) => ({
  number: row[1]!,
  tests: [...row[2]!.matchAll(/`([^`]+)`/g)].map((match) => match[1]!),
}));

test('reliability.md says of S1 to L5 which fault tests bear it', () => {
  const numbers = 'S1 S2 S3 S4 S5 L1 L2 L3 L4 L5'.split(' ');
  expect(underFaults.map(({ number }) => number)).toEqual(numbers);
});

describe.each(underFaults)('$number under faults', ({ number, tests }) => {
  test.each(tests)('test/faults/%s.test.ts carries it in a title', (name) => {
    expectTitle(`faults/${name}`, number);
  });
});

test('every promise but the one that is not made stands in the table', () => {
  const numbers = 'S1 S2 S3 S4 S5 L1 L2 L3 L4 L5 G1 G2 G3 G4 G5 G6 G7 C1 C2 C3 C4 C5'.split(' ');
  expect(promises.map(({ number }) => number)).toEqual(numbers);
});

describe.each(promises)('$number', ({ number, tests, code }) => {
  test.each(tests)('test/%s.test.ts carries it in a title', (name) => expectTitle(name, number));

  test('its code is where the table says', () => {
    const files = code.filter((name) => name.endsWith('.ts') || name.endsWith('/'));
    expect(files).not.toEqual([]);
    for (const file of files) expect(existsSync(`src/${file}`), file).toBe(true);
    const members = code.filter((name) => !files.includes(name));
    const text = files
      .filter((name) => name.endsWith('.ts'))
      .map((file) => readFileSync(`src/${file}`, 'utf8'));
    for (const member of members) expect(text.join('\n')).toContain(member);
  });
});

test('docs/testing.md defines F1 to F20, and a test title carries each', () => {
  const defined = [...readFileSync('docs/testing.md', 'utf8').matchAll(/^\| (F\d+) /gm)].map(
    ([, number]) => number!,
  );
  expect(defined).toEqual(Array.from({ length: 20 }, (_, index) => `F${index + 1}`));
  const titles = readdirSync('test', { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.test.ts'))
    .flatMap(
      (file) => readFileSync(`test/${file}`, 'utf8').match(/['"`](?:[SLGCF]\d+, )*[SLGCF]\d+: /g) ?? [],
    );
  const carried = new Set(titles.flatMap((title) => title.match(/F\d+/g) ?? []));
  expect([...carried].toSorted((a, b) => Number(a.slice(1)) - Number(b.slice(1)))).toEqual(defined);
});

/** Everything that can go round or be woken by a timer, in the folders that are always loaded. */
const LOOPS = /\bwhile ?\(|\bfor ?\([^)]*;[^)]*;|\bfor await ?\(|\bset(?:Interval|Timeout|Immediate)\(/;
/** Loops over what is at hand, and timers that fire once: no row is due for them. */
const ONCE = new Set(['util/clock.ts', 'core/candidate-queue.ts', 'etcd/lease.ts']);

test('every file with a loop or a timer stands in the loop table', () => {
  const separate = /^(?:cli|dev|diagnostics|telemetry|last-will)\//;
  const files = readdirSync('src', { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .filter((file) => !separate.test(file));
  const looping = files.filter((file) =>
    LOOPS.test(readFileSync(`src/${file}`, 'utf8').replace(/\/\*[^]*?\*\/|\/\/.*/g, '')),
  );
  const table = design.slice(design.indexOf('## Loops and timers'), design.indexOf('## Source tree'));
  const missing = looping
    .map((file) => file.replace('src/', ''))
    .filter((file) => !ONCE.has(file) && !table.includes(`\`${file}\``));
  expect(missing).toEqual([]);
});
