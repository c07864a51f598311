/** The matrix as text: one line per row for the terminal, a table for the repository. */
import { full, type Measured } from './measure.ts';
import { bounds, type Bounds, type Row } from './bounds.ts';

export function complaints(row: Row, measured: Measured): string[] {
  const bound: Bounds = { ...bounds, ...row.except };
  const said: string[] = [];
  const check = (isInside: boolean, text: string): void => void (isInside || said.push(text));
  check(measured.died === undefined, `died: ${measured.died}`);
  check(measured.cpuPercent < bound.cpuPercent, 'CPU');
  check(measured.callsPerSecond <= bound.callsPerSecond, 'calls');
  // At a steady rate a window may contain one event more than its share: one dial, or one line.
  check(measured.dialsPerSecond <= bound.dialsPerSecond + 1_000 / full.windowMs, 'dials');
  check(measured.lines <= 1 + (bound.linesPerMinute * measured.linesOverMs) / 60_000, 'lines');
  check((measured.heapGrowthKiB ?? 0) <= bound.heapKiB, 'memory');
  check((measured.resourceGrowth ?? 0) <= bound.handles, 'handles');
  if (row.fault?.end !== undefined && row.origin === 'environment')
    check((measured.leadsAgainMs ?? Infinity) <= bound.leadsAgainMs, 'back too late');
  return said;
}

const number = (value: number | undefined, digits = 1): string => value?.toFixed(digits) ?? '–';

function cells(row: Row, measured: Measured): string[] {
  return [
    number(measured.cpuPercent, 2),
    number(measured.callsPerSecond, 2),
    number(measured.dialsPerSecond, 2),
    number((60_000 * measured.lines) / measured.linesOverMs),
    number(measured.heapGrowthKiB, 0),
    number(measured.resourceGrowth, 0),
    leadsAgain(row, measured),
  ];
}

const noteOf = ({ mayBeMeant, except }: Row): string =>
  `${mayBeMeant === true ? 'A program may do this on purpose. ' : ''}${except?.why ?? ''}`;

function leadsAgain(row: Row, { leadsAgainMs }: Measured): string {
  if (row.fault?.end === undefined) return '–';
  if (leadsAgainMs === undefined) return 'not within 40 s';
  return leadsAgainMs === 0 ? 'never lost' : `${(leadsAgainMs / 1000).toFixed(1)} s`;
}

export function line(row: Row, measured: Measured): string {
  const [cpu, calls, dials, lines, heap, handles, again] = cells(row, measured);
  const said = complaints(row, measured);
  return (
    `${said.length === 0 ? 'ok ' : 'OUT'} ${row.name}: CPU ${cpu} %, calls ${calls}/s, dials ${dials}/s, ` +
    `lines ${lines}/min, heap ${heap} KiB (resident ${measured.residentGrowthKiB}), handles ${handles}, ` +
    `again ${again}; ${measured.rounds} rounds, ${measured.trips} trips${said.length === 0 ? '' : `  <-- ${said.join(', ')}`}`
  );
}

function outside(results: readonly (readonly [Row, Measured])[]): string {
  const rows = results.flatMap(([row, measured]) => {
    const said = complaints(row, measured);
    return said.length === 0 ? [] : [`- ${row.name}: ${said.join(', ')}`];
  });
  return rows.length === 0
    ? 'All rows are inside their limits.'
    : `These rows were outside their limits:\n\n${rows.join('\n')}`;
}

const titles: Record<Row['group'], string> = {
  caller: "The caller's loops",
  callbacks: 'Callbacks',
  etcd: 'etcd and the network',
  operators: 'Operators',
  etcd3: 'etcd3 itself',
};

export function markdown(results: readonly (readonly [Row, Measured])[], machine: string): string {
  const parts = [
    '# The matrix of the loop guard',
    '',
    `Measured by \`npm run bench:guard -- --save\` on a shared machine: ${machine}. Each row has its own process and its own real etcd.`,
    '',
    'The bounds:',
    '',
    `- CPU < ${bounds.cpuPercent} % of a core, over 20 s, after a warm-up of 4 s (15 to 60 s in rows that may begin many calls without a delay);`,
    `- ≤ ${bounds.callsPerSecond} messages a second at etcd: calls, and messages on streams;`,
    `- ≤ ${bounds.dialsPerSecond} connection attempt a second to each endpoint;`,
    `- ≤ ${bounds.linesPerMinute} log lines a minute;`,
    `- no growth of heap, timers, sockets or other handles, over the minute after that;`,
    `- leading again at most ${bounds.leadsAgainMs / 1000} s after an outside cause ends. If the caller's own loop ends the rounds, this is not checked.`,
    '',
    `Garbage is collected twice before each reading of the heap. Growth below ${bounds.heapKiB} KiB is noise.`,
    'At a steady rate, a window may contain one dial or one log line more than its share: so 6.7 lines a minute are inside.',
    'A row with a text in the last column has a higher limit. The text says why.',
    '',
    outside(results),
    '',
    '![CPU and calls, row by row](matrix.svg)',
  ];
  for (const [group, title] of Object.entries(titles)) {
    const members = results.filter(([row]) => row.group === group);
    if (members.length === 0) continue;
    parts.push(
      '',
      `## ${title}`,
      '',
      '| loop or cause | CPU % | etcd messages/s | dials/s | log lines/min | heap KiB | handles | leads again | why a limit is higher |',
      '| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |',
      ...members.map(([row, measured]) => {
        const said = complaints(row, measured);
        const note = said.length > 0 ? `**outside: ${said.join(', ')}**` : noteOf(row);
        return `| ${row.name} | ${cells(row, measured).join(' | ')} | ${note} |`;
      }),
    );
  }
  return `${parts.join('\n')}\n`;
}
