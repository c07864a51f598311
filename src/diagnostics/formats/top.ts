import { type Folded, placeOf, totalOf } from './folded.ts';
import { type FunctionCost, functionCosts } from './functions.ts';

/**
 * Writes the table of `go tool pprof -top`. It also has the place of every function, because names in JavaScript are often
 * missing or ambiguous. Pure.
 *
 * @param rows how many functions. Default: 20. At least 1.
 */
export function renderTop(folded: Folded, rows = 20): string {
  const unit = folded.types.at(-1)?.unit ?? 'count';
  const total = totalOf(folded);
  const costs = functionCosts(folded);
  const shown = costs.slice(0, rows);
  const sum = shown.reduce((flat, cost) => flat + cost.flat, 0);
  const share = folded.durationMs > 0 ? ` (${percentOf(total, folded.durationMs * 1e6).trim()})` : '';
  return [
    `Type: ${folded.types.at(-1)?.type ?? ''}`,
    ...(folded.takenAt > 0 ? [`Time: ${new Date(folded.takenAt).toISOString()}`] : []),
    ...(folded.durationMs > 0
      ? [
          `Duration: ${amount(folded.durationMs * 1e6, 'nanoseconds')}, Total samples = ${amount(total, unit)}${share}`,
        ]
      : [`Total = ${amount(total, unit)}`]),
    `Showing nodes accounting for ${amount(sum, unit)}, ${percentOf(sum, total).trim()} of ${amount(total, unit)} total`,
    ...(shown.length < costs.length ? [`Showing top ${shown.length} nodes out of ${costs.length}`] : []),
    '      flat  flat%   sum%        cum   cum%',
    ...shown.map((cost, index) => row(cost, shown.slice(0, index + 1), total, unit)),
    '',
  ].join('\n');
}

function row(cost: FunctionCost, upToHere: readonly FunctionCost[], total: number, unit: Unit): string {
  const sum = upToHere.reduce((flat, each) => flat + each.flat, 0);
  const figures = [
    amount(cost.flat, unit).padStart(10),
    percentOf(cost.flat, total),
    percentOf(sum, total),
    amount(cost.cum, unit).padStart(10),
    percentOf(cost.cum, total),
  ];
  return `${figures.join(' ')}  ${cost.frame.name} ${placeOf(cost.frame)}`.trimEnd();
}

export type Unit = Folded['types'][number]['unit'];

/** `1.32s`, `392ms`, `18µs`; a count as it is. */
export function amount(value: number, unit: Unit): string {
  if (unit === 'count') return String(Math.round(value));
  const [size, name] = SCALE.find(([least]) => value >= least) ?? [1, 'ns'];
  return `${Number((value / size).toFixed(2))}${value === 0 ? '' : name}`;
}

const SCALE: readonly (readonly [number, string])[] = [
  [60e9, 'mins'],
  [1e9, 's'],
  [1e6, 'ms'],
  [1e3, 'µs'],
];

/** Writes a share as `go tool pprof` does, at least six characters wide: `87.70%`, `  100%`, `0.041%`. */
export function percentOf(value: number, total: number): string {
  const ratio = total === 0 ? 0 : (value / total) * 100;
  if (ratio >= 99.95 && ratio <= 100.05) return '  100%';
  return `${ratio >= 1 ? ratio.toFixed(2) : String(Number(ratio.toPrecision(2)))}%`.padStart(6);
}
