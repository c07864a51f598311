/**
 * Replays the incident: the loop that used a whole core, etcd3's own example, and the same two through our API.
 * Each runs for ten seconds on one etcd. `npm run incident`. It ends with the watchdog's report about the first
 * one. `-- --save` writes its flame graph to bench/incident, for the README.
 */
import { Etcd3 } from 'etcd3';
import { startEtcd, startProxy } from 'etcd-election/dev';
import { spawn, type ChildProcess } from 'node:child_process';
import { on, once } from 'node:events';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { RunawayReport } from 'etcd-election/diagnostics';
import {
  callsServed,
  cpuPercent,
  readProcess,
  tcpConnections,
  total,
  type ProcessReading,
} from '../guard/support/meter.ts';
import type { Told } from '../guard/support/tell.ts';
import { drawRunaway, tellRunaway } from './runaway.ts';
import { bold, dim, green, red, table } from './table.ts';
import type { Found } from './watch-when-told.ts';

const { values, positionals } = parseArgs({
  options: { save: { type: 'boolean', default: false } },
  allowPositionals: true,
});
const SECONDS = Number(positionals[0] ?? 10);

/** The folder of the evidence; git ignores it. */
const EVIDENCE = join(process.cwd(), 'bench', 'dist', 'incident');
/** From the order to the report: 1 s of looping, 2 s of profile, and additional time for a busy machine. */
const FOUND_WITHIN_MS = 12_000;

interface Scene {
  readonly name: string;
  /** The program of this folder that runs it. */
  readonly program: string;
  /** Whether etcd resets each connection at once. */
  readonly etcdFails: boolean;
  readonly burns: boolean;
  /** Whether the watchdog starts in its process, after the measurement. */
  readonly isWatched?: boolean;
}

const scenes: readonly Scene[] = [
  {
    name: 'the loop of the post, bare etcd3',
    program: 'loop-of-the-post',
    etcdFails: false,
    burns: true,
    isWatched: true,
  },
  { name: 'the same loop, etcd-election', program: 'same-loop-ours', etcdFails: false, burns: false },
  { name: "etcd3's example, etcd fails", program: 'documented-example', etcdFails: true, burns: true },
  { name: 'the same, etcd-election', program: 'documented-ours', etcdFails: true, burns: false },
];

interface Result {
  readonly scene: Scene;
  readonly cpuPercent: number;
  readonly etcdCpuPercent: number;
  readonly roundsPerSecond: number;
  readonly callsPerSecond: number;
  /** Started TCP connections, and open ones at the end. */
  readonly dials: number;
  readonly open: number;
  readonly logLines: number;
  readonly leases: number;
  readonly runaway: RunawayReport | undefined;
}

const here = dirname(fileURLToPath(import.meta.url));

await using etcd = await startEtcd();
await using failing = await startProxy({ target: etcd.endpoints[0]! });
failing.resetAll();

console.log(
  dim(`etcd ${etcd.version}, Node ${process.versions.node}; each scene in its own process, ${SECONDS} s\n`),
);
const results: Result[] = [];
for (const scene of scenes) {
  if (process.stdout.isTTY) process.stdout.write(`  ${scene.name} …\r`);
  const result = await play(scene);
  results.push(result);
  console.log(`  ${scene.name}: ${verdict(result)}`);
}
console.log(`\n${report(results)}\n`);
console.log(
  dim(
    [
      'The loop of the post never fails: it ignores its result. etcd3 keeps each of its leases alive for ever.',
      "The example doubles its campaigns each round. etcd3's breaker answers most of them at once, so most CPU time goes into log lines.",
      'Ours: one campaign each; warm-up and burst are in the ten seconds. Its one lease expires, because the process was killed.',
    ].join('\n'),
  ),
);
console.log(`\n${bold('The watchdog on the first one')}`);
const runaway = results.find(({ scene }) => scene.isWatched)?.runaway;
if (runaway === undefined) {
  console.log(
    `no report in ${FOUND_WITHIN_MS / 1000} s: on this machine the loop waits for etcd for more than half of its time`,
  );
} else {
  await drawRunaway(runaway, values.save ? 'bench/incident/flame-graph.svg' : undefined);
  console.log(await tellRunaway(runaway));
}

async function play(scene: Scene): Promise<Result> {
  const endpoint = scene.etcdFails ? failing.endpoint : etcd.endpoints[0]!;
  const leasesBefore = new Set(await leases());
  const callsBefore = total(await callsServed(etcd.endpoints));
  const etcdBefore = await readProcess(etcd.members[0]!.pid!);
  const child = spawn(process.execPath, [join(here, `${scene.program}.mjs`), endpoint], {
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  const counted = watch(child);
  await once(child, 'message'); // the modules are loaded: the measurement begins here
  const begun = await readProcess(child.pid!);
  await sleep(SECONDS * 1000);
  const end = await readProcess(child.pid!);
  const open = await tcpConnections(child.pid!);
  const calls = total(await callsServed(etcd.endpoints)) - callsBefore;
  const etcdEnd = await readProcess(etcd.members[0]!.pid!);
  child.kill('SIGSTOP'); // its leftovers are counted while it is stopped
  const left = (await leases()).filter((id) => !leasesBefore.has(id)).length;
  const { told, lines } = counted;
  const runaway = scene.isWatched ? await watched(child) : undefined;
  child.kill('SIGKILL');
  await once(child, 'close');
  const seconds = secondsBetween(begun, end);
  return {
    scene,
    cpuPercent: cpuPercent(begun, end),
    etcdCpuPercent: cpuPercent(etcdBefore, etcdEnd),
    roundsPerSecond: told.rounds / seconds,
    callsPerSecond: calls / seconds,
    dials: told.dials,
    open,
    logLines: lines,
    leases: left,
    runaway,
  };
}

/** Starts the watchdog in a process that already loops, and waits for its report. */
async function watched(child: ChildProcess): Promise<RunawayReport | undefined> {
  child.kill('SIGCONT');
  child.send(EVIDENCE);
  const limit = AbortSignal.timeout(FOUND_WITHIN_MS);
  try {
    for await (const [message] of on(child, 'message', { signal: limit }))
      if ('runaway' in (message as Told | Found)) return (message as Found).runaway;
  } catch (error) {
    if (!limit.aborted) throw error;
  }
  return undefined;
}

function watch(child: ChildProcess): { told: Told; lines: number } {
  const counted = { told: { rounds: 0, dials: 0, dialsByPort: {} } as Told, lines: 0 };
  child.on('message', (message) => {
    if ('rounds' in (message as Told | Found)) counted.told = message as Told;
  });
  for (const output of [child.stdout!, child.stderr!])
    createInterface({ input: output }).on('line', () => counted.lines++);
  return counted;
}

async function leases(): Promise<string[]> {
  const client = new Etcd3({ hosts: etcd.endpoints });
  try {
    return (await client.leaseClient.leaseLeases()).leases.map(({ ID }) => ID);
  } finally {
    client.close();
  }
}

function secondsBetween(from: ProcessReading, to: ProcessReading): number {
  return (to.atMs - from.atMs) / 1000;
}

function verdict({ scene, cpuPercent: cpu, roundsPerSecond }: Result): string {
  const text = `${cpu.toFixed(1)} % of a core, ${roundsPerSecond.toFixed(1)} rounds/s`;
  return scene.burns ? red(text) : green(text);
}

function report(rows: readonly Result[]): string {
  const paint = ({ scene }: Result, text: string): string => (scene.burns ? red(text) : green(text));
  return table(
    [
      '',
      'CPU %',
      "etcd's CPU %",
      'rounds/s',
      'etcd calls/s',
      'dials',
      'open',
      'log lines',
      'leases left',
    ].map(bold),
    rows.map((row) => [
      row.scene.name,
      paint(row, row.cpuPercent.toFixed(1)),
      row.etcdCpuPercent.toFixed(1),
      paint(row, row.roundsPerSecond.toFixed(1)),
      paint(row, row.callsPerSecond.toFixed(1)),
      String(row.dials),
      String(row.open),
      String(row.logLines),
      String(row.leases),
    ]),
  );
}
