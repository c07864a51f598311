/** What each benchmark adds to bench/README.md: rows of the summary, rows of the details, tables and plots. */
import type { CandidatesResult } from './candidates.ts';
import type { CostResult } from './cost.ts';
import type { CrashResult } from './crash.ts';
import { mean, median, short } from './figures.ts';
import type { HandoverResult } from './handover.ts';
import type { IdleResult } from './idle.ts';
import type { ImportResult } from './import.ts';
import type { OutageResult } from './outage.ts';
import { bars, shares } from './plot.ts';
import type { ChangeCost, QueueResult, QueueRow } from './queue.ts';
import type { StartResult } from './start.ts';

export interface Results {
  readonly handover: HandoverResult;
  readonly start: StartResult;
  readonly queue: QueueResult;
  readonly idle: IdleResult;
  readonly import: ImportResult;
  readonly candidates: CandidatesResult;
  readonly crash: CrashResult;
  readonly outage: OutageResult;
  readonly cost: CostResult;
}

export type Row = readonly [what: string, measured: string, target: string, within: boolean];

export interface Section {
  /** Rows of the table on top. */
  readonly summary?: readonly Row[];
  readonly details?: readonly Row[];
  /** Tables in Markdown, below the details. */
  readonly tables?: readonly string[];
  /** SVG by file name. */
  readonly plots?: Readonly<Record<string, string>>;
}

const GO = "Go's concurrency.Election";
const BEFORE = 'etcd-election before';

const ms = (value: number): string => `${short(value)} ms`;
const calls = (by: Readonly<Record<string, number>>): string =>
  Object.entries(by)
    .map(([method, count]) => `${count} ${method}`)
    .join(', ') || 'none';

export const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');

/** Our median as a multiple of another one's, for each run. */
function against(medians: HandoverResult['medians'], name: string): string {
  const ratios = medians[name]?.map((theirs, run) => medians['etcd-election']![run]! / theirs) ?? [];
  if (ratios.length === 0) return '';
  const spread = `${short(Math.min(...ratios))} to ${short(Math.max(...ratios))}`;
  return `; ${short(median(ratios))} × ${name} (${spread} in ${ratios.length} runs)`;
}

function handover({ samples, summaries, medians, calls: asked }: HandoverResult): Section {
  const ours = summaries['etcd-election']!;
  const floor = summaries['floor, etcd-election']!;
  const go = summaries[GO];
  const ratio = ours.medianMs / floor.medianMs;
  return {
    summary: [
      [
        `Hand-over between two processes, median of ${ours.count}`,
        `${ms(ours.medianMs)} = ${short(ratio)} × the floor (${ms(floor.medianMs)})${against(medians, BEFORE)}${against(medians, GO)}`,
        "≤ Go's, or ≤ 1.2 × the floor",
        ratio <= 1.2 || ours.medianMs <= (go?.medianMs ?? 0),
      ],
      [
        '… its 99th percentile',
        `${ms(ours.p99Ms)} = ${short(ours.p99Ms / floor.p99Ms)} × the floor's (${ms(floor.p99Ms)})${go === undefined ? '' : `; Go's: ${ms(go.p99Ms)}`}`,
        "≤ Go's, or ≤ 1.2 × the floor's",
        ours.p99Ms <= Math.max(go?.p99Ms ?? 0, 1.2 * floor.p99Ms),
      ],
    ],
    tables: [
      table(
        ['hand-over', 'median', '90 %', '99 %', 'what etcd is asked'],
        Object.entries(summaries).map(([name, { medianMs, p90Ms, p99Ms }]) => [
          name,
          ms(medianMs),
          ms(p90Ms),
          ms(p99Ms),
          asked[name] === undefined ? '' : calls(asked[name]),
        ]),
      ),
    ],
    plots: {
      handover: shares(`Hand-over: share of ${ours.count} that took at most this long`, samples),
    },
  };
}

function start({ byCount }: StartResult): Section {
  return {
    summary: Object.entries(byCount).map(([count, { oursMs, bareMs, goMs, ratio, calls: asked }]) => [
      `${count} elections lead`,
      `${ms(median(oursMs))} = ${short(ratio)} × the time of as many create transactions on the bare client (${ms(median(bareMs))}); ${calls(asked)}${goMs.length > 0 ? `; Go's: ${ms(median(goMs))}` : ''}`,
      '≤ 0.5 ×',
      ratio <= 0.5,
    ]),
    plots: {
      start: bars(
        'Start: as a multiple of the same number of create transactions on the bare client',
        Object.entries(byCount).map(([count, { ratio }]) => ({
          name: `${count} elections`,
          value: ratio,
          label: `${short(ratio)} ×`,
        })),
        { value: 0.5, label: 'target: 0.5 ×' },
      ),
    },
  };
}

function queue({ rows }: QueueResult): Section {
  const most = Math.max(...rows.map(({ count }) => count));
  const find = (who: string, count = most): QueueRow | undefined =>
    rows.find((row) => row.who === who && row.count === count);
  const [ours, before, go] = [find('etcd-election')!, find(BEFORE), find(GO)];
  const ten = find('etcd-election', 30) ?? ours;
  const others = (of: (row: QueueRow) => number): string =>
    [before, go].map((row) => (row === undefined ? '' : `; ${row.who}: ${short(of(row))}`)).join('');
  const cell = (cost: ChangeCost | undefined): string =>
    cost === undefined
      ? ''
      : `${short(cost.told)} / ${short(cost.sentBytes / 1024)} KiB / ${short(cost.etcdCpuMs)} ms`;
  return {
    summary: [
      [
        `A join and a leave among ${most} candidates, messages of etcd to watches`,
        `${short(ours.join.told)} and ${short(ours.leave.told)} (among ${ten.count}: ${short(ten.join.told)} and ${short(ten.leave.told)})${others((row) => row.join.told + row.leave.told)} together`,
        'does not grow with the queue',
        ours.join.told + ours.leave.told <= 1.2 * (ten.join.told + ten.leave.told),
      ],
      [
        `Rolling restart of ${most} candidates, messages for each`,
        `${short(ours.restart?.told ?? Number.NaN)}${others((row) => row.restart?.told ?? Number.NaN)}`,
        'a few',
        (ours.restart?.told ?? Number.NaN) <= 20,
      ],
    ],
    tables: [
      table(
        [
          'one change: messages to watches / bytes sent / CPU of etcd',
          'candidates',
          'join',
          'leave',
          'hand-over',
          'rolling restart',
        ],
        rows.map(({ who, count, join, leave, handOver, restart }) => [
          who,
          `${count}`,
          cell(join),
          cell(leave),
          cell(handOver),
          cell(restart),
        ]),
      ),
    ],
  };
}

function idle({ rows }: IdleResult): Section {
  const bare = rows.find(({ count }) => count === 0)!;
  const one = rows.find(({ count }) => count === 1)!;
  const cpu = rows
    .filter(({ count }) => count > 0)
    .map((row): Row => [
      `Idle, ${row.count} ${row.count === 1 ? 'election' : 'elections'}, ${row.seconds} s in slices of 10 s`,
      `${short(mean(row.cpuPercents))} % CPU, ${short(median(row.cpuPercents))} % in the median slice, ${short(Math.max(...row.cpuPercents))} % in the worst (bare client: ${short(mean(bare.cpuPercents))} %), etcd ${short(row.etcdCpuPercent)} % (${short(bare.etcdCpuPercent)} %); ${calls(row.calls)}`,
      '≤ 0.3 %; three messages each TTL/3',
      median(row.cpuPercents) <= 0.3,
    ]);
  const heap = rows
    .filter(({ count }) => count > 1)
    .map((row): Row => {
      const furtherBytes = (row.heapBytesEach * row.count - one.heapBytesEach) / (row.count - 1);
      return [
        `Memory of each further election, of ${row.count}`,
        `${short(furtherBytes / 1024)} KiB of heap (the first takes ${short(one.heapBytesEach / 1e6)} MB, with the code it has compiled); resident ${short(row.residentBytesEach / 1024)} KiB`,
        '≤ 12 KB',
        furtherBytes <= 12_000,
      ];
    });
  return {
    summary: [...cpu.slice(-1), ...heap.slice(-1)],
    details: [...cpu.slice(0, -1), ...heap.slice(0, -1)],
  };
}

function imported({ rows }: ImportResult): Section {
  const find = (what: string) => rows.find((row) => row.what.startsWith(what))!;
  const [nothing, etcd3, deps, ours] = [
    find('nothing'),
    rows.find(({ what }) => what === 'etcd3')!,
    find('etcd3, '),
    find('etcd3 and etcd-election'),
  ];
  return {
    summary: [
      [
        'Import, processor time of the whole process',
        `${ms(ours.cpuMs)} = ${short(ours.cpuMs / etcd3.cpuMs)} × etcd3 alone (${ms(etcd3.cpuMs)}; Node itself ${ms(nothing.cpuMs)}; ${deps.what} ${ms(deps.cpuMs)})`,
        '≤ 1.3 ×',
        ours.cpuMs <= 1.3 * etcd3.cpuMs,
      ],
    ],
    details: [
      [
        'Import, resident memory',
        `${short(ours.residentBytes / 1e6)} MB = ${short(ours.residentBytes / etcd3.residentBytes)} × etcd3 alone (${short(etcd3.residentBytes / 1e6)} MB)`,
        '≤ 1.3 ×',
        ours.residentBytes <= 1.3 * etcd3.residentBytes,
      ],
    ],
  };
}

function candidates({ byCount }: CandidatesResult): Section {
  const two = byCount['2']!;
  return {
    details: Object.entries(byCount).map(([count, { summary, floor, calls: asked }]) => [
      `Hand-over with ${count} candidates, median`,
      `${ms(summary.medianMs)} = ${short(summary.medianMs / two.summary.medianMs)} × that of 2 (the floor with ${count} watches: ${ms(floor.medianMs)} = ${short(floor.medianMs / two.floor.medianMs)} ×); etcd was asked: ${calls(asked)}`,
      count === '2' ? 'one transaction' : '≤ 3 × that of 2; one transaction',
      summary.medianMs <= 3 * two.summary.medianMs && asked['Txn'] === 1 && (asked['Range'] ?? 0) === 0,
    ]),
  };
}

function crash({ rows }: CrashResult): Section {
  return {
    details: rows.map(({ ttlSeconds, lastWill, summary }) => {
      const limitMs = lastWill ? 150 : ttlSeconds * 1000 + 750;
      return [
        `Crash, TTL ${ttlSeconds} s${lastWill ? ', with a last will' : ''}, ${summary.count} kills`,
        `median ${ms(summary.medianMs)}, 99 %: ${ms(summary.p99Ms)}`,
        lastWill ? '99 % < 150 ms' : `99 % ≤ ${limitMs} ms`,
        summary.p99Ms <= limitMs,
      ];
    }),
    plots: {
      crash: shares(
        'kill -9 until the next one leads: share of kills that took at most this long',
        Object.fromEntries(
          rows.map((row) => [`TTL ${row.ttlSeconds} s${row.lastWill ? ', last will' : ''}`, row.samples]),
        ),
      ),
    },
  };
}

function outage({ rows }: OutageResult): Section {
  return {
    details: rows.flatMap((row): Row[] => [
      [
        `${row.elections} elections, ${row.what} for ${row.seconds} s`,
        `${short(row.cpuPercent)} % CPU, ${row.dials} connections tried; fewest that led meanwhile: ${row.fewestLeading}`,
        '< 1 %, one dialling loop',
        row.cpuPercent < 1 && row.dials <= row.seconds * 3,
      ],
      [
        '… all lead again after',
        row.fewestLeading === row.elections ? 'none had stopped' : ms(row.allLeadAfterMs),
        '≤ 3 s',
        row.allLeadAfterMs <= 3_000,
      ],
    ]),
  };
}

function cost({ rows }: CostResult): Section {
  const counts = Object.keys(rows[0]!.idle);
  const hour = (each: Readonly<Record<string, number>>, seconds: number): string =>
    short((3_600 / seconds) * Object.values(each).reduce((sum, count) => sum + count, 0));
  return {
    tables: [
      table(
        [
          'messages to etcd, TTL 10 s',
          'first term of a client',
          'one term more',
          ...counts.map((count) => `an idle hour of ${count}`),
        ],
        rows.map(({ who, firstTerm, furtherTerm, idle: idling, idleSeconds }) => [
          who,
          calls(firstTerm),
          calls(furtherTerm),
          ...counts.map((count) => hour(idling[count]!, idleSeconds)),
        ]),
      ),
    ],
  };
}

/** In the order of the page. */
export const sections: { readonly [K in keyof Results]: (result: Results[K]) => Section } = {
  handover,
  start,
  queue,
  idle,
  import: imported,
  candidates,
  crash,
  outage,
  cost,
};
