/**
 * What the watchdog costs while nothing happens, and how soon it sees, names and files a runaway.
 *
 * `OTHER_NODE=/path/to/node20 node bench/watchdog.ts` on Node 24, which reads TypeScript: measures both. Takes about
 * eight minutes; writes bench/watchdog.md. Everything is measured in children, each doing one thing.
 */
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, getPriority, loadavg } from 'node:os';
import { promisify } from 'node:util';
import { RunawayChild, buildDiagnostics, nodes, reportOf } from '../test/support/diagnostics-child.ts';

const IDLE_SECONDS = 30;
const SETTLE_SECONDS = 20;
const REPEATS = 3;

const run = promisify(execFile);

/** Its own CPU and memory over a quiet stretch of time, after start-up has settled. */
const QUIET = `
const { startWatchdog, serveDiagnostics } = await import(process.argv[1]);
const mode = process.argv[2];
const idle = { startupGraceMs: 0 };
if (mode === 'watchdog') startWatchdog(idle);
if (mode === 'server') await serveDiagnostics({ port: 0, watchdog: idle });
const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));
await pause(${SETTLE_SECONDS});
const before = process.cpuUsage();
const began = performance.now();
await pause(${IDLE_SECONDS});
const { user, system } = process.cpuUsage(before);
const percent = (user + system) / 10 / (performance.now() - began);
console.log(JSON.stringify({ percent, megabytes: process.memoryUsage.rss() / 1e6 }));
process.exit();
`;

async function quiet(
  node: string,
  module: string,
  mode: string,
): Promise<{ percent: number; megabytes: number }> {
  const { stdout } = await run(node, ['--input-type=module', '-e', QUIET, module, mode]);
  return JSON.parse(stdout) as { percent: number; megabytes: number };
}

/** Milliseconds from the first round of the loop: until it was noticed, and until its evidence was written. */
async function runaway(
  node: string,
  module: string,
  kind: string,
): Promise<{ seen: number; filed: number; named: string }> {
  await using child = await RunawayChild.start({ module, kind, node });
  const began = await child.begin();
  const line = await child.headline(60_000);
  const filed = Date.now() - began;
  const report = reportOf(line);
  return { seen: Date.parse(report.at) - began, filed, named: report.suspects[0]?.function ?? 'nobody' };
}

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[values.length >> 1] ?? NaN;
const worst = (values: readonly number[]): number => Math.max(...values);

const module = await buildDiagnostics();
const idleRows: string[] = [];
const runawayRows: string[] = [];
const crowd: number[] = [];

for (const { name, path, missing } of nodes) {
  if (missing) {
    console.log(name);
    continue;
  }
  const version = (await run(path, ['--version'])).stdout.trim();
  const [none, watchdog, server] = await Promise.all(
    ['none', 'watchdog', 'server'].map((mode) => quiet(path, module, mode)),
  );
  for (const [what, figure] of Object.entries({ watchdog, server })) {
    if (none === undefined || figure === undefined) continue;
    const cpu = `${none.percent.toFixed(3)} → ${figure.percent.toFixed(3)} % (+${(figure.percent - none.percent).toFixed(3)})`;
    const memory = `${none.megabytes.toFixed(0)} → ${figure.megabytes.toFixed(0)} MB (+${(figure.megabytes - none.megabytes).toFixed(0)})`;
    idleRows.push(`| ${version} | ${what} | ${cpu} | ${memory} |`);
    console.log(idleRows.at(-1));
  }
  for (const kind of ['sync', 'microtask', 'nextTick', 'emitter', 'flood', 'asyncIo', 'immediate']) {
    const runs = [];
    for (let i = 0; i < REPEATS; i++) {
      runs.push(await runaway(path, module, kind));
      crowd.push(loadavg()[0] ?? 0);
    }
    const seen = runs.map((each) => each.seen);
    const filed = runs.map((each) => each.filed - each.seen);
    const names = [...new Set(runs.map((each) => each.named))].join(', ');
    runawayRows.push(
      `| ${version} | ${kind} | ${median(seen)} (${worst(seen)}) | ${median(filed)} (${worst(filed)}) | ${names} |`,
    );
    console.log(runawayRows.at(-1));
  }
}

await writeFile(
  new URL('watchdog.md', import.meta.url),
  `# The watchdog: what it costs, how soon it sees

Made by \`bench/watchdog.ts\`. ${availableParallelism()} cores of ${cpus()[0]?.model.trim() ?? 'unknown make'}, load ${median(crowd).toFixed(1)}
(other work ran on them; run at priority ${getPriority()}). A thread starves its loop when it has burnt half of \`stallMs\` without an answer: where it is let
have a tenth of a core, that alone takes five seconds.

## At rest

Whole process, ${IDLE_SECONDS} s, after ${SETTLE_SECONDS} s of settling: without the watchdog → with it. In percent of one core.

| Node | | CPU | memory (RSS) |
| --- | --- | --- | --- |
${idleRows.join('\n')}

## A runaway

Default options (\`stallMs\` 1000, \`hotMs\` 10000, \`pollMs\` 500, \`profileMs\` 1000). Median (worst) of ${REPEATS}, in milliseconds: from the
loop's first round until it was noticed, and from then until all evidence was written, of which 1000 are the profile. \`asyncIo\`
and \`immediate\` still turn: they count only after \`hotMs\`.

| Node | loop | noticed after | evidence after another | named first |
| --- | --- | --- | --- | --- |
${runawayRows.join('\n')}
`,
);
