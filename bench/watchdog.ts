/**
 * What the watchdog costs while nothing happens, and how soon it sees, names and files a runaway: alone, and on a core
 * that others want too.
 *
 * `npm run bench:watchdog` takes about ten minutes and writes bench/watchdog.md. `-- --only rest,loop-0,loop-1,crowd-`
 * measures some parts. Each part is kept as soon as it is measured. It measures this Node, and Node 24 where
 * `npm run node:fetch` has brought it; OTHER_NODE names another. Everything is measured in children, each doing one thing.
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
/** How many others want the core on which the loop runs. */
const CROWDS = [0, 1, 2, 4, 8];
/** On one core, after all else that this machine does: what crowds the loop is then known. */
const ON_ONE_CORE = ['nice', '-n', '10', 'taskset', '-c', '0'] as const;

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

/** A runaway among so many others: its share of the core, and when it was noticed. */
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
    await pause(1_000); // until they burn
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
  `# The watchdog: what it costs, how soon it sees

Made by \`npm run bench:watchdog\`. ${availableParallelism()} cores of ${cpus()[0]?.model.trim() ?? 'unknown make'}, load ${loadOf([rest, ...loops, ...crowds])}
(other work ran on them; run at priority ${getPriority()}). On a quiet machine the times are shorter. Rows that are not here were not measured.

## At rest

Whole process, ${IDLE_SECONDS} s, after ${SETTLE_SECONDS} s of settling: without the watchdog → with it. In percent of one core.

| Node | | CPU | memory (RSS) |
| --- | --- | --- | --- |
${idleRows.join('\n')}

## A runaway

Default options (\`stallMs\` 1000, \`hotMs\` 10000, \`pollMs\` 500, \`profileMs\` 1000). Median (worst) of ${REPEATS}, in milliseconds: from the
loop's first round until it was noticed, and from then until all evidence was written. A block counts as a runaway after
\`runawayMs\` (5000) only, because it may end. \`asyncIo\` and \`immediate\` still turn: they count only after \`hotMs\`.

| Node | loop | noticed after | evidence after another | named first |
| --- | --- | --- | --- | --- |
${runawayRows.join('\n')}

## A runaway on a crowded core

A synchronous loop on one core with others that spin there too, on ${process.version}. The whole process is on that core, the watchdog as
well, at priority 10: what else the machine did went first, so the share tells more than the number of the others. Median (worst) of ${REPEATS}, in milliseconds.

| others | share of the core it had | half of \`stallMs\` burnt after | noticed after | evidence after another |
| --- | --- | --- | --- | --- |
${crowdRows.join('\n')}

Noticed is what has not answered for \`stallMs\` and has burnt half of that, 500 ms; up to \`pollMs\` passes before it is asked. So it is
within 2 s wherever the loop is let have a third of a core, and later where it has less.

That cannot be had sooner without false alarms. On a core that gives it a fifth, a request that takes 400 ms of CPU blocks the
event loop for 2 s. Until then it and a loop look the same from outside: both burn what they get, and neither answers. They
differ in how much they burn, and 500 ms of CPU take as long as the core takes to give them. A limit of 2 s would be a limit of
2 s × the share: a fifth of a core would make a runaway of every 300 ms of work, just when the machine is busiest. The limit
is one of CPU for that reason (\`watchdog/classify.ts\`; \`classify.test.ts\` holds a loop and a block against each other), and a smaller one can
be had by asking for it: \`stallMs: 500\` halves both.
`,
);
