/**
 * All benchmarks, or some: `npm run bench -- --only handover,crash`. Each stores its results in
 * `bench/results/performance/`. The tables and plots of bench/README.md are made from them.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { candidates } from './candidates.ts';
import { cost } from './cost.ts';
import { crash } from './crash.ts';
import { handover } from './handover.ts';
import { idle } from './idle.ts';
import { imports } from './import.ts';
import { outage } from './outage.ts';
import { queue } from './queue.ts';
import { report } from './report.ts';
import { start } from './start.ts';

const WITHOUT = { lastWill: false } as const;

const benchmarks: Readonly<Record<string, (quick: boolean) => Promise<object>>> = {
  handover: (quick) => (quick ? handover(1, 30, values.before) : handover(5, 80, values.before)),
  candidates: (quick) => candidates(quick ? [2, 10] : [2, 10, 100, 1_000], quick ? 5 : 40),
  queue: (quick) =>
    quick ? queue([3, 30], [30], values.before) : queue([3, 30, 300, 1_000], [300, 1_000], values.before),
  cost: (quick) => cost(quick ? [1] : [1, 100], quick ? 10 : 60),
  start: (quick) =>
    start(
      quick
        ? [{ count: 200, times: 1 }]
        : [
            { count: 1_000, times: 7 },
            { count: 10_000, times: 3 },
          ],
    ),
  idle: (quick) => idle(quick ? [1, 100] : [1, 1_000, 10_000], quick ? 5 : 60),
  crash: (quick) =>
    crash(
      quick
        ? [
            { ttlSeconds: 2, ...WITHOUT },
            { ttlSeconds: 10, lastWill: true },
          ]
        : [
            { ttlSeconds: 2, ...WITHOUT },
            { ttlSeconds: 5, ...WITHOUT },
            { ttlSeconds: 10, ...WITHOUT },
            { ttlSeconds: 10, lastWill: true },
          ],
      quick ? 5 : 50,
    ),
  outage: (quick) => outage(quick ? 100 : 1_000, quick ? 10 : 60),
  import: (quick) => imports(quick ? 3 : 15),
};

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    before: { type: 'string' },
    quick: { type: 'boolean', default: false },
  },
});
const chosen = values.only?.split(',') ?? Object.keys(benchmarks);
const folder = join(process.cwd(), 'bench', 'results', 'performance');
await mkdir(folder, { recursive: true });
for (const name of chosen) {
  const benchmark = benchmarks[name];
  if (benchmark === undefined)
    throw new Error(`no benchmark ${name}; there are ${Object.keys(benchmarks).join(', ')}`);
  console.log(`${name} …`);
  const result = await benchmark(values.quick);
  const machine = `${cpus().length} × ${cpus()[0]?.model ?? '?'}, ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${release()}, Node ${process.version}`;
  const file = values.quick ? `${name}-quick.json` : `${name}.json`;
  await writeFile(
    join(folder, file),
    `${JSON.stringify({ machine, at: new Date().toISOString().slice(0, 10), result }, null, 1)}\n`,
  );
}
console.log(await report(folder, values.quick ? '-quick' : ''));
