/** Draws the matrix: CPU and calls of each row against their bounds, on a logarithmic scale. */
import type { Measured } from './measure.ts';
import { bounds, type Row } from './bounds.ts';

const ROW = 16;
const LEFT = 330;
const WIDTH = 260;
const GAP = 30;
const TOP = 40;

interface Panel {
  readonly title: string;
  readonly of: (measured: Measured) => number;
  readonly bound: number;
  readonly low: number;
  readonly high: number;
}

const panels: readonly Panel[] = [
  { title: 'CPU, % of a core', of: (m) => m.cpuPercent, bound: bounds.cpuPercent, low: 0.01, high: 100 },
  {
    title: 'etcd messages/s',
    of: (m) => m.callsPerSecond,
    bound: bounds.callsPerSecond,
    low: 0.01,
    high: 1000,
  },
];

export function plot(results: readonly (readonly [Row, Measured])[]): string {
  const height = TOP + results.length * ROW + 10;
  const width = LEFT + panels.length * (WIDTH + GAP);
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="11">`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
  ];
  panels.forEach((panel, index) => {
    const x = LEFT + index * (WIDTH + GAP);
    const at = (value: number): number => {
      const share = Math.log(Math.max(value, panel.low) / panel.low) / Math.log(panel.high / panel.low);
      return x + Math.min(1, share) * WIDTH;
    };
    parts.push(`<text x="${x}" y="14" font-weight="bold">${panel.title}</text>`);
    for (let tick = panel.low; tick <= panel.high * 1.01; tick *= 10) {
      const label = tick >= 1 ? tick.toFixed(0) : String(Number(tick.toFixed(2)));
      parts.push(
        `<line x1="${at(tick)}" x2="${at(tick)}" y1="${TOP - 8}" y2="${height - 8}" stroke="#ddd"/>`,
        `<text x="${at(tick)}" y="${TOP - 12}" text-anchor="middle" fill="#888" font-size="9">${label}</text>`,
      );
    }
    results.forEach(([, measured], place) => {
      const y = TOP + place * ROW;
      const value = panel.of(measured);
      const colour = value <= panel.bound ? '#2a7' : '#c33';
      parts.push(
        `<rect x="${x}" y="${y + 3}" width="${(at(value) - x).toFixed(1)}" height="${ROW - 6}" fill="${colour}"/>`,
      );
    });
    parts.push(
      `<line x1="${at(panel.bound)}" x2="${at(panel.bound)}" y1="${TOP - 8}" y2="${height - 8}" stroke="#c33" stroke-dasharray="4 3"/>`,
    );
  });
  results.forEach(([row], place) => {
    const y = TOP + place * ROW + 12;
    parts.push(
      `<text x="${LEFT - 8}" y="${y}" text-anchor="end">${escape(`${row.name} (${row.group})`)}</text>`,
    );
  });
  return `${parts.join('\n')}\n</svg>\n`;
}

const escape = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
