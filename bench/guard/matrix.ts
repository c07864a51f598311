/**
 * Every known way to make a hot loop, each in its own process, and its cost. `npm run bench:guard`.
 * - `--quick`: 24 s a row instead of 84. Growth is then measured from the first seconds on, and means little.
 * - `--row <text>`: only rows whose name contains the text; may be given more than once.
 * - `--log`: prints the log lines of the process.
 * - `--save`: writes bench/guard/matrix.json, .md and .svg; rows that are not measured stay as they are.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { full, measure, quick, type Measured } from './measure.ts';
import { plot } from './plot.ts';
import { complaints, markdown, line } from './report.ts';
import type { Row } from './bounds.ts';
import { rows } from './rows.ts';

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    log: { type: 'boolean', default: false },
    save: { type: 'boolean', default: false },
    row: { type: 'string', multiple: true, default: [] },
    parallel: { type: 'string', default: '2' },
  },
});
const timing = options.quick ? quick : full;
const wanted = rows.filter(
  ({ name }) => options.row.length === 0 || options.row.some((text) => name.includes(text)),
);

const results = new Map<Row, Measured>();
const queue = [...wanted];
await Promise.all(
  Array.from({ length: Number(options.parallel) }, async () => {
    for (let row = queue.shift(); row !== undefined; row = queue.shift()) {
      try {
        const { log, ...measured } = await measure(row, timing);
        results.set(row, measured);
        console.log(line(row, measured));
        if (options.log) console.log(log.map((text) => `      ${text}`).join('\n'));
      } catch (error) {
        process.exitCode = 1;
        console.error(`  ${row.name}: ${String(error)}`);
      }
    }
  }),
);

const inOrder = wanted.flatMap((row): [Row, Measured][] => {
  const measured = results.get(row);
  return measured === undefined ? [] : [[row, measured]];
});
const outside = inOrder.filter(([row, measured]) => complaints(row, measured).length > 0);
console.log(`\n${inOrder.length} rows, ${outside.length} outside the bounds`);
if (outside.length > 0) process.exitCode = 1;
if (options.save) {
  const machine = `${cpus().length} cores, Node ${process.versions.node}, ${(timing.warmUpMs + timing.windowMs + timing.growthMs) / 1000} s a row, or more`;
  const saved = await save(inOrder.map(([, measured]) => measured));
  const known = rows.flatMap((row): [Row, Measured][] => {
    const measured = saved.find(({ name }) => name === row.name);
    return measured === undefined ? [] : [[row, measured]];
  });
  await writeFile('bench/guard/matrix.md', markdown(known, machine));
  await writeFile('bench/guard/matrix.svg', plot(known));
}

/** Rows that were not measured this time stay unchanged. */
async function save(measured: readonly Measured[]): Promise<readonly Measured[]> {
  const path = 'bench/guard/matrix.json';
  const before = JSON.parse(await readFile(path, 'utf8').catch(() => '[]')) as Measured[];
  const byName = new Map([...before, ...measured].map((row) => [row.name, row]));
  const all = rows.flatMap(({ name }) => byName.get(name) ?? []);
  await writeFile(path, `${JSON.stringify(all, undefined, 2)}\n`);
  return all;
}
