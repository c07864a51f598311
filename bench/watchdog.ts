/**
 * What the watchdog costs when nothing happens, and how soon it notices, names and records a runaway: alone, and
 * on a core with other load. `npm run bench:watchdog` takes about ten minutes and writes bench/watchdog.md. `--
 * --only rest,loop-0,loop-1,crowd-` measures some parts. Each part is stored at once. It measures this Node, and
 * Node 24 if `npm run node:fetch` has downloaded it; OTHER_NODE names another one. All measurements run in child
 * processes with a single task.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, getPriority } from 'node:os';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { loadOf, part } from './parts.ts';
import { RunawayChild, buildDiagnostics, nodes, reportOf } from '../test/support/diagnostics-child.ts';

const IDLE_SECONDS = 30;
const SETTLE_SECONDS = 20;
const REPEATS = 3;
/** The number of other processes on the core of the loop. */
const CROWDS = [0, 1, 2, 4, 8];
/** On one core, at low priority: the load beside the loop is then known. */
const ON_ONE_CORE = ['nice', '-n', '10', 'taskset', '-c', '0'] as const;

const run = promisify(execFile);

/** Its own CPU and memory during a quiet period, after the start. */
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

/** A runaway among this many others: its share of the core, and when it was noticed. */
async function crowded(
  module: string,
  others: number,
): Promise<{ share: number; seen: number; filed: number }> {
  const [program, ...args] = ON_ONE_CORE;
  const crowd: ChildProcess[] = [];
  try {
    await using child = await RunawayChild.start({
      module,
      kind: 'sync',
      node: program,
      execArgv: [...args, process.execPath],
    });
    for (let i = 0; i < others; i++)
      crowd.push(spawn(program, [...args, process.execPath, '-e', 'for(;;);'], { stdio: 'ignore' }));
    await pause(1_000); // until they use the CPU
    const began = await child.begin();
    const line = await child.headline(120_000);
    const filed = Date.now() - began;
    const report = reportOf(line);
    return { share: report.cpu ?? NaN, seen: Date.parse(report.at) - began, filed };
  } finally {
    for (const one of crowd) one.kill('SIGKILL');
  }
}

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[values.length >> 1] ?? NaN;
const worst = (values: readonly number[]): number => Math.max(...values);

const module = await buildDiagnostics();
const LOOPS = ['sync', 'microtask', 'nextTick', 'emitter', 'flood', 'asyncIo', 'immediate'];

async function atRest(): Promise<string[]> {
  const rows: string[] = [];
  for (const { path, missing } of nodes) {
    if (missing) continue;
    const version = (await run(path, ['--version'])).stdout.trim();
    const [none, watchdog, server] = await Promise.all(
      ['none', 'watchdog', 'server'].map((mode) => quiet(path, module, mode)),
    );
    for (const [what, figure] of Object.entries({ watchdog, server })) {
      if (none === undefined || figure === undefined) continue;
      const cpu = `${none.percent.toFixed(3)} → ${figure.percent.toFixed(3)} % (+${(figure.percent - none.percent).toFixed(3)})`;
      const memory = `${none.megabytes.toFixed(0)} → ${figure.megabytes.toFixed(0)} MB (+${(figure.megabytes - none.megabytes).toFixed(0)})`;
      rows.push(`| ${version} | ${what} | ${cpu} | ${memory} |`);
      console.log(rows.at(-1));
    }
  }
  return rows;
}

async function loopOn(path: string, kind: string): Promise<string> {
  const version = (await run(path, ['--version'])).stdout.trim();
  const runs = [];
  for (let i = 0; i < REPEATS; i++) runs.push(await runaway(path, module, kind));
  const seen = runs.map((each) => each.seen);
  const filed = runs.map((each) => each.filed - each.seen);
  const names = [...new Set(runs.map((each) => each.named))].join(', ');
  return `| ${version} | ${kind} | ${median(seen)} (${worst(seen)}) | ${median(filed)} (${worst(filed)}) | ${names} |`;
}

async function amongOthers(others: number): Promise<string> {
  const runs = [];
  for (let i = 0; i < REPEATS; i++) runs.push(await crowded(module, others));
  const share = median(runs.map((each) => each.share));
  const seen = runs.map((each) => each.seen);
  const evidence = runs.map((each) => each.filed - each.seen);
  const burnt = Math.max(1_000, 500 / share).toFixed(0);
  return `| ${others} | ${share.toFixed(2)} | ${burnt} | ${median(seen)} (${worst(seen)}) | ${median(evidence)} (${worst(evidence)}) |`;
}

const shown = async (measure: Promise<string>): Promise<string> => {
  const row = await measure;
  console.log(row);
  return row;
};

const rest = await part('watchdog', 'rest', atRest);
const loops = [];
for (const [index, { path, missing }] of nodes.entries())
  for (const kind of missing ? [] : LOOPS)
    loops.push(await part('watchdog', `loop-${index}-${kind}`, () => shown(loopOn(path, kind))));
const crowds = [];
for (const others of CROWDS)
  crowds.push(await part('watchdog', `crowd-${others}`, () => shown(amongOthers(others))));
const idleRows = rest?.figures ?? [];
const runawayRows = loops.flatMap((each) => each?.figures ?? []);
const crowdRows = crowds.flatMap((each) => each?.figures ?? []);

await writeFile(
  'bench/watchdog.md',
  `# The watchdog: its cost and its delay

Made by \`npm run bench:watchdog\`. ${availableParallelism()} cores of ${cpus()[0]?.model.trim() ?? 'unknown make'}, load ${loadOf([rest, ...loops, ...crowds])}
(other work ran on them; the benchmark ran at nice value ${getPriority()}). On a quiet machine the times are shorter.

## At rest

Whole process, ${IDLE_SECONDS} s, after ${SETTLE_SECONDS} s of settling. The figures are without the watchdog → with it. CPU is in percent
of one core.

| Node | | CPU | memory (RSS) |
| --- | --- | --- | --- |
${idleRows.join('\n')}

## A runaway

Default options (\`stallMs\` 1000, \`hotMs\` 10000, \`pollMs\` 500, \`profileMs\` 1000). Times are in milliseconds, the median (worst) of
${REPEATS}. The first time is from the loop's first round until it was noticed, the second from then until all evidence was written. A
blocked event loop counts as a runaway only after \`runawayMs\` (5000), because the block may end. In \`asyncIo\` and \`immediate\` the
event loop still turns, so these count only after \`hotMs\`.

| Node | loop | noticed after | evidence after another | named first |
| --- | --- | --- | --- | --- |
${runawayRows.join('\n')}

## A runaway on a crowded core

A synchronous loop on one core, beside the given number of other spinning processes, on ${process.version}. The whole process with its watchdog is on that core, at
nice value 10. All other work on the machine had precedence, so judge by the share of the core. Times are in milliseconds, the median
(worst) of ${REPEATS}.

| other processes | share of the core it had | half of \`stallMs\` burnt after | noticed after | evidence after another |
| --- | --- | --- | --- | --- |
${crowdRows.join('\n')}

The watchdog notices a loop if the event loop has not answered for \`stallMs\`, and the main thread has used 500 ms of CPU time meanwhile,
half of \`stallMs\`. The watchdog looks at least every \`pollMs\`. If the loop gets a third of a core, the watchdog notices it within 2 s.
If it gets less, that takes longer.

A limit by the wall clock would cause false alarms. Take a process that gets a fifth of a core. In that process, a request that needs 400 ms
of CPU time blocks the event loop for 2 s. From outside, this request looks like a loop: both use all CPU time that they get, and neither
answers. A limit of 2 s by the wall clock would report such requests, just when the machine is busiest. So the watchdog limits CPU time too
(\`watchdog/classify.ts\`). \`stallMs: 500\` halves both limits.
`,
);
