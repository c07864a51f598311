// docs/design.md names the tests of every promise. The files must exist, and a title in each must have the number.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';

const design = readFileSync('docs/design.md', 'utf8');
const promises = [...design.matchAll(/^\| \*\*([SLGC]\d)\*\* +\|(.*)\|(.*)\|(.*)\|$/gm)].map((row) => ({
  number: row[1]!,
  tests: [...row[3]!.matchAll(/`([^`]+)`/g)].map((match) => match[1]!),
  code: [...row[4]!.matchAll(/`([^`]+)`/g)].map((match) => match[1]!),
}));

/** Titles begin with their numbers: 'S4, L3: our key …' */
function expectTitle(name: string, number: string): void {
  const source = readFileSync(`test/${name}.test.ts`, 'utf8');
  expect(source).toMatch(new RegExp(String.raw`['"\`][SLGCF\d, ]*\b${number}\b[SLGCF\d, ]*: `));
}

const reliability = readFileSync('docs/reliability.md', 'utf8');
const underFaults = [...reliability.matchAll(/^\| ([SL]\d) [^|]*\|([^|]*)\|$/gm)].map((row) => ({
  number: row[1]!,
  tests: [...row[2]!.matchAll(/`([^`]+)`/g)].map((match) => match[1]!),
}));

test('reliability.md names the fault tests of S1 to L5', () => {
  const numbers = 'S1 S2 S3 S4 S5 L1 L2 L3 L4 L5'.split(' ');
  expect(underFaults.map(({ number }) => number)).toEqual(numbers);
});

describe.each(underFaults)('$number under faults', ({ number, tests }) => {
  test.each(tests)('test/faults/%s.test.ts carries it in a title', (name) => {
    expectTitle(`faults/${name}`, number);
  });
});

test('the table has every promise that is made', () => {
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

/** Code that can loop, or that a timer can start. */
const LOOPS =
  /\bwhile ?\(|\bfor ?\([^)]*;[^)]*;|\bfor await ?\(|\bset(?:Interval|Timeout|Immediate)\(|\b(?:sleep|after|afterTurn|nextTurn|untilNextTurn)\(|\.refresh\(\)|\bAbortSignal\.timeout\(/;
/** Files that only define timers, or whose loops only go over existing data: they need no row. */
const WITHOUT_A_ROW = new Set([
  'util/clock.ts',
  'core/candidate-queue.ts',
  'last-will/grpc.ts',
  'cli/completion.ts',
  'cli/terminal.ts',
  'diagnostics/formats/fold.ts',
  'diagnostics/formats/protobuf.ts',
  'diagnostics/profile/source-maps.ts',
]);

describe('the loop table', () => {
  const table = design.slice(design.indexOf('## Loops and timers'), design.indexOf('## Source tree'));

  test('names every file with a loop or a timer', () => {
    const missing = readdirSync('src', { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.ts') && !/(worker|helper|guardian)-source\.ts$/.test(file))
      .filter((file) => LOOPS.test(readFileSync(`src/${file}`, 'utf8').replace(/\/\*[^]*?\*\/|\/\/.*/g, '')))
      .filter((file) => !WITHOUT_A_ROW.has(file) && !table.includes(`\`${file}\``));
    expect(missing).toEqual([]);
  });

  test('names only code that exists', () => {
    const rows = [...table.matchAll(/^\| [^|]+\|([^|]+)\|/gm)].flatMap(([, where]) => [
      ...where!.matchAll(/`([\w./-]+\.ts)`((?: ?,? `#?\w+`)*)/g),
    ]);
    expect(rows.length).toBeGreaterThan(80);
    for (const [, file, members] of rows) {
      const source = readFileSync(`src/${file}`, 'utf8');
      for (const [, member] of members!.matchAll(/`(#?\w+)`/g)) expect(source, file).toContain(`${member}`);
    }
  });
});
