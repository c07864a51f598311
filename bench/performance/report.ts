/** Makes the tables and plots of bench/README.md from what the benchmarks left behind. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { CandidatesResult } from './candidates.ts';
import type { CostResult } from './cost.ts';
import type { CrashResult } from './crash.ts';
import { mean, median, short } from './figures.ts';
import type { HandoverResult } from './handover.ts';
import type { IdleResult } from './idle.ts';
import type { ImportResult } from './import.ts';
import type { OutageResult } from './outage.ts';
import { bars, shares } from './plot.ts';
import type { StartResult } from './start.ts';

interface Results {
  readonly handover: HandoverResult;
  readonly candidates: CandidatesResult;
  readonly start: StartResult;
  readonly cost: CostResult;
  readonly idle: IdleResult;
  readonly crash: CrashResult;
  readonly outage: OutageResult;
  readonly import: ImportResult;
}

type Row = readonly [what: string, measured: string, target: string, within: boolean];

const ms = (value: number): string => `${short(value)} ms`;
const calls = (by: Readonly<Record<string, number>>): string =>
  Object.entries(by)
    .map(([method, count]) => `${count} ${method}`)
    .join(', ') || 'none';

/** Ours as a multiple of another's, run by run. */
function against(medians: HandoverResult['medians'], name: string): string {
  const ratios = medians[name]?.map((theirs, run) => medians['etcd-election']![run]! / theirs) ?? [];
  if (ratios.length === 0) return '';
  const spread = `${short(Math.min(...ratios))} to ${short(Math.max(...ratios))}`;
  return `; ${short(median(ratios))} × ${name} (${spread} in ${ratios.length} runs)`;
}

/** @returns the table of all targets, as it stands in bench/README.md. */
export async function report(folder: string, suffix: string): Promise<string> {
  const read = async <K extends keyof Results>(name: K): Promise<Results[K] | undefined> => {
    const json = await readFile(join(folder, `${name}${suffix}.json`), 'utf8').catch(() => undefined);
    return json === undefined ? undefined : (JSON.parse(json) as { result: Results[K] }).result;
  };
  const plot = (name: string, svg: string): Promise<void> =>
    writeFile(join(folder, `${name}${suffix}.svg`), svg);
  const rows: Row[] = [];
  const peers: string[] = [];

  const handover = await read('handover');
  if (handover !== undefined) {
    const { samples, summaries, medians } = handover;
    const ours = summaries['etcd-election']!;
    const floor = summaries['floor, etcd-election']!;
    const ratio = ours.medianMs / floor.medianMs;
    rows.push([
      `Hand-over, median of ${ours.count}, two processes`,
      `${ms(ours.medianMs)} = ${short(ratio)} × the floor (${ms(floor.medianMs)})${against(medians, 'etcd-election before')}${against(medians, "Go's concurrency.Election")}`,
      '≤ 1.3 × the floor',
      ratio <= 1.3,
    ]);
    rows.push([
      '… its 99th percentile',
      `${ms(ours.p99Ms)} = ${short(ours.p99Ms / ours.medianMs)} × the median (the floor's own: ${short(floor.p99Ms / floor.medianMs)} ×)`,
      '≤ 3 × the median',
      ours.p99Ms <= 3 * ours.medianMs,
    ]);
    peers.push('| hand-over | median | 90 % | 99 % | what etcd is asked |', '|---|---|---|---|---|');
    for (const [name, { medianMs, p90Ms, p99Ms }] of Object.entries(summaries))
      peers.push(
        `| ${name} | ${ms(medianMs)} | ${ms(p90Ms)} | ${ms(p99Ms)} | ${handover.calls[name] === undefined ? '' : calls(handover.calls[name])} |`,
      );
    await plot('handover', shares(`Hand-over: share of ${ours.count} that took at most so long`, samples));
  }

  const candidates = await read('candidates');
  if (candidates !== undefined) {
    const { byCount } = candidates;
    const two = byCount['2']!;
    for (const [count, { summary, floor, calls: asked }] of Object.entries(byCount))
      rows.push([
        `Hand-over with ${count} candidates, median`,
        `${ms(summary.medianMs)} = ${short(summary.medianMs / two.summary.medianMs)} × that of 2 (the floor with ${count} watches: ${ms(floor.medianMs)} = ${short(floor.medianMs / two.floor.medianMs)} ×); etcd was asked: ${calls(asked)}`,
        count === '2' ? 'one transaction' : '≤ 3 × that of 2; one transaction',
        summary.medianMs <= 3 * two.summary.medianMs && asked['Txn'] === 1 && (asked['Range'] ?? 0) === 0,
      ]);
  }

  const start = await read('start');
  if (start !== undefined) {
    for (const [count, { oursMs, bareMs, goMs, ratio }] of Object.entries(start.byCount))
      rows.push([
        `${count} elections lead`,
        `${ms(median(oursMs))} = ${short(ratio)} × as many create transactions on the bare client (${ms(median(bareMs))})${goMs.length > 0 ? `; Go's: ${ms(median(goMs))}` : ''}`,
        '≤ 1.5 ×',
        ratio <= 1.5,
      ]);
    await plot(
      'start',
      bars(
        'Start: as a multiple of the same number of create transactions on the bare client',
        Object.entries(start.byCount).map(([count, { ratio }]) => ({
          name: `${count} elections`,
          value: ratio,
          label: `${short(ratio)} ×`,
        })),
        { value: 1.5, label: 'target: 1.5 ×' },
      ),
    );
  }

  const idle = await read('idle');
  if (idle !== undefined) {
    const bare = idle.rows.find(({ count }) => count === 0)!;
    const one = idle.rows.find(({ count }) => count === 1)!;
    for (const row of idle.rows.filter(({ count }) => count > 0)) {
      rows.push([
        `Idle, ${row.count} ${row.count === 1 ? 'election' : 'elections'}, ${row.seconds} s in slices of 10 s`,
        `${short(mean(row.cpuPercents))} % CPU, ${short(median(row.cpuPercents))} % in the median slice, ${short(Math.max(...row.cpuPercents))} % in the worst (bare client: ${short(mean(bare.cpuPercents))} %), etcd ${short(row.etcdCpuPercent)} % (${short(bare.etcdCpuPercent)} %); ${calls(row.calls)}`,
        '≤ 0.3 %, flat; one keep-alive each TTL/3',
        mean(row.cpuPercents) <= 0.3,
      ]);
      if (row.count === 1) continue;
      const furtherBytes = (row.heapBytesEach * row.count - one.heapBytesEach) / (row.count - 1);
      rows.push([
        '… memory of each further one',
        `${short(furtherBytes / 1024)} KiB of heap (the first one takes ${short(one.heapBytesEach / 1e6)} MB, with the code it has compiled); resident ${short(row.residentBytesEach / 1024)} KiB`,
        '≤ 12 KB',
        furtherBytes <= 12_000,
      ]);
    }
  }

  const crash = await read('crash');
  if (crash !== undefined) {
    for (const { ttlSeconds, lastWill, summary } of crash.rows) {
      const limitMs = lastWill ? 150 : ttlSeconds * 1000 + 750;
      rows.push([
        `Crash, TTL ${ttlSeconds} s${lastWill ? ', with a last will' : ''}, ${summary.count} kills`,
        `median ${ms(summary.medianMs)}, 99 %: ${ms(summary.p99Ms)}`,
        lastWill ? '99 % < 150 ms' : `99 % ≤ ${limitMs} ms`,
        summary.p99Ms <= limitMs,
      ]);
    }
    await plot(
      'crash',
      shares(
        'kill -9 until the next one leads: share of kills that took at most so long',
        Object.fromEntries(
          crash.rows.map((row) => [
            `TTL ${row.ttlSeconds} s${row.lastWill ? ', last will' : ''}`,
            row.samples,
          ]),
        ),
      ),
    );
  }

  const outage = await read('outage');
  for (const row of outage?.rows ?? []) {
    rows.push([
      `${row.elections} elections, ${row.what} for ${row.seconds} s`,
      `${short(row.cpuPercent)} % CPU, ${row.dials} connections tried; fewest that led meanwhile: ${row.fewestLeading}`,
      '< 1 %, one dialling loop',
      row.cpuPercent < 1 && row.dials <= row.seconds * 3,
    ]);
    rows.push([
      '… all lead again after',
      row.fewestLeading === row.elections ? 'none had stopped' : ms(row.allLeadAfterMs),
      '≤ 3 s',
      row.allLeadAfterMs <= 3_000,
    ]);
  }

  const asked = await read('cost');
  if (asked !== undefined) {
    const counts = Object.keys(asked.rows[0]!.idle);
    const hours = counts.map((count) => `an idle hour of ${count}`);
    peers.push(
      '',
      `| messages to etcd, TTL 10 s | first term of a client | one term more | ${hours.join(' | ')} |`,
    );
    peers.push(`|---|---|---|${counts.map(() => '---').join('|')}|`);
    for (const { who, firstTerm, furtherTerm, idle: idling, idleSeconds } of asked.rows) {
      const hour = (each: Readonly<Record<string, number>>): string =>
        short((3_600 / idleSeconds) * Object.values(each).reduce((sum, count) => sum + count, 0));
      const cells = [calls(firstTerm), calls(furtherTerm), ...counts.map((count) => hour(idling[count]!))];
      peers.push(`| ${who} | ${cells.join(' | ')} |`);
    }
  }

  const imported = await read('import');
  if (imported !== undefined) {
    const find = (what: string) => imported.rows.find((row) => row.what === what)!;
    const [nothing, etcd3, deps, ours] = [
      find('nothing (Node itself)'),
      find('etcd3'),
      imported.rows.find((row) => row.what.startsWith('etcd3, '))!,
      find('etcd3 and etcd-election'),
    ];
    rows.push([
      'Import, processor time of the whole process',
      `${ms(ours.cpuMs)} = ${short(ours.cpuMs / etcd3.cpuMs)} × etcd3 alone (${ms(etcd3.cpuMs)}; Node itself ${ms(nothing.cpuMs)}; ${deps.what} ${ms(deps.cpuMs)})`,
      '≤ 1.3 ×',
      ours.cpuMs <= 1.3 * etcd3.cpuMs,
    ]);
    rows.push([
      '… resident memory',
      `${short(ours.residentBytes / 1e6)} MB = ${short(ours.residentBytes / etcd3.residentBytes)} × (${short(etcd3.residentBytes / 1e6)} MB)`,
      '≤ 1.3 ×',
      ours.residentBytes <= 1.3 * etcd3.residentBytes,
    ]);
  }

  const table = [
    '| what | measured | target | |',
    '|---|---|---|---|',
    ...rows.map(
      ([what, measured, target, within]) =>
        `| ${what} | ${measured} | ${target} | ${within ? 'within' : '**not within**'} |`,
    ),
    '',
    ...peers,
  ].join('\n');
  if (suffix === '') await replaceTable(table);
  return table;
}

const BEGIN = '<!-- made by npm run bench -->';
const END = '<!-- end of what npm run bench makes -->';

async function replaceTable(table: string): Promise<void> {
  const path = join(process.cwd(), 'bench', 'README.md');
  const page = await readFile(path, 'utf8').catch(() => '');
  const [from, to] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (from < 0 || to < 0) return;
  await writeFile(path, `${page.slice(0, from)}${BEGIN}\n\n${table}\n\n${page.slice(to)}`);
}
