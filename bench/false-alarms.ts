/**
 * What the watchdog reports about honest work, and about the loops that it must find. Writes
 * bench/false-alarms.md.
 * - `node bench/launch.mjs bench/false-alarms.ts`: all of it.
 * - `… bench/false-alarms.ts --only honest-0,honest-1,loop-`: some parts, each in less than three minutes.
 */
import { writeFile } from 'node:fs/promises';
import { availableParallelism, cpus } from 'node:os';
import { setTimeout as after } from 'node:timers/promises';
import { loadOf, part } from './parts.ts';
import { RunawayChild, buildDiagnostics } from '../test/support/diagnostics-child.ts';
import { honestWorkloads } from '../test/support/honest-workloads.mjs';

/** All defaults, but half the time until a loop without rest is judged. */
const watch = { hotMs: 5_000 };
const HONEST_FOR_MS = 7_000;
const RUNAWAY_WITHIN_MS = 60_000;

const LOOPS = ['sync', 'microtask', 'nextTick', 'emitter', 'flood', 'regex', 'promises', 'iterator', 'retry'];
const TURNING_LOOPS = ['asyncIo', 'immediate', 'reconnect', 'turns', 'ports', 'http'];

const module = await buildDiagnostics();

async function honest(kind: string): Promise<string> {
  const options = { ...watch, honestForMs: HONEST_FOR_MS };
  await using child = await RunawayChild.start({ module, kind, options });
  await child.begin();
  await child.said(({ done }) => done, 10 * HONEST_FOR_MS);
  await after(1_000);
  const runaways = child.stderr.match(/\] runaway/g)?.length ?? 0;
  const notices = child.heard(({ notice }) => notice?.verdict);
  return runaways > 0 ? `**runaway**` : [...new Set(notices)].join(', ') || 'nothing';
}

async function runaway(kind: string): Promise<string> {
  await using child = await RunawayChild.start({ module, kind, options: watch });
  const began = await child.begin();
  const line = await child.headline(RUNAWAY_WITHIN_MS);
  return `${((Date.now() - began) / 1000).toFixed(1)} s: ${/; top: (\(.*?\)|\S+)/.exec(line)?.[1] ?? 'nobody'}`;
}

const table = async (kinds: readonly string[], run: (kind: string) => Promise<string>): Promise<string> => {
  const rows: string[] = [];
  for (const kind of kinds) {
    rows.push(`| ${kind} | ${await run(kind)} |`);
    console.log(rows.at(-1));
  }
  return rows.join('\n');
};

const kinds = Object.keys(honestWorkloads(0));
const half = Math.ceil(kinds.length / 2);
const parts = [
  await part('false-alarms', 'honest-0', () => table(kinds.slice(0, half), honest)),
  await part('false-alarms', 'honest-1', () => table(kinds.slice(half), honest)),
] as const;
const [first, second] = parts.map((each) => each?.figures ?? '');
const honestRows = `${first}\n${second}`;
const loops = [];
for (const kind of [...LOOPS, ...TURNING_LOOPS])
  loops.push(await part('false-alarms', `loop-${kind}`, () => table([kind], runaway)));
const runawayRows = loops.map((each) => each?.figures ?? '').join('\n');

await writeFile(
  'bench/false-alarms.md',
  `# The watchdog: false alarms and found loops

Made by \`node bench/launch.mjs bench/false-alarms.ts\` on ${process.version}. ${availableParallelism()} cores of ${cpus()[0]?.model.trim() ?? 'unknown make'}, load ${loadOf([...parts, ...loops])}.
The watchdog has default options, but \`hotMs\` is 5000.

## Honest work

Each service runs for ${HONEST_FOR_MS / 1000} s. \`saturated\` and \`blocked\` are notices, not alarms. **runaway** would be a false alarm.

| a service that … | is reported as |
| --- | --- |
${honestRows}

## Runaways

The time begins with the first round of the loop, and ends when the report was written. The name is the first function in the report. In the
last six rows the event loop still turns.

| loop | reported after: first function |
| --- | --- |
${runawayRows}

## A loop compared with a full load

Each work is measured for 700 ms, on the same machine. A turn is one round of the event loop. An event comes from a socket or a thread, not
from a timer.

| work | busy | turns in a second of CPU | events in a turn |
| --- | --- | --- | --- |
| await loop over a socket | 1.000 | 45,000–53,000 | 1.0 |
| \`setImmediate\` without end | 1.000 | 120,000–340,000 | 0.0 |
| reconnect on close | 1.000 | 5,800–9,600 | 1.5 |
| requests to itself | 1.000 | 10,000–13,700 | 1.0 |
| two message ports | 1.000 | 115,000 | 1.0 |
| HTTP, 20 clients, 1 ms of work each | 1.000 | 42 | 19.6 |
| pages of 200 kB, 20 clients | 1.000 | 22 | 19.7 |
| queue at full rate | 1.000 | 14–17 | 1.4–1.7 |
| batch that gives way each millisecond | 1.000 | 1,030 | 0.0 |
| echo over TCP, 1 to 20 clients | 0.34–0.66 | 8,700–36,000 | 1.0–5.6 |
| HTTP without work, 1 to 100 clients | 0.27–0.50 | 1,000–10,600 | 1.0–3.7 |
`,
);
