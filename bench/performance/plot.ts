/** Plots as SVG, light or dark as the reader prefers; a few shapes, no library. */
const WIDTH = 760;
const COLOURS = ['#2563eb', '#dc2626', '#16a34a', '#9333ea', '#d97706', '#0891b2'];

const escape = (text: string): string =>
  text.replace(/[&<>]/g, (sign) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;' })[sign]!);

const text = (x: number, y: number, what: string, anchor = 'start', more = ''): string =>
  `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}" ${more}>${escape(what)}</text>`;

function page(height: number, title: string, body: readonly string[]): string {
  const style =
    '<style>text{font:12px system-ui,sans-serif;fill:#1f2937}.t{font-weight:600;font-size:14px}line{stroke:#9ca3af}.b{fill:#fff}@media(prefers-color-scheme:dark){text{fill:#e5e7eb}.b{fill:#111827}line{stroke:#4b5563}}</style>';
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escape(title)}">`,
    style,
    `<rect class="b" width="${WIDTH}" height="${height}"/>`,
    text(16, 24, title, 'start', 'class="t"'),
    ...body,
    '</svg>',
    '',
  ].join('\n');
}

/** The share of samples (vertical) that took at most a given time (horizontal, logarithmic). */
export function shares(title: string, samples: Readonly<Record<string, readonly number[]>>): string {
  const names = Object.keys(samples);
  const all = names.flatMap((name) => [...samples[name]!]);
  const [left, right, top, bottom] = [60, WIDTH - 20, 44, 330];
  const low = Math.log10(Math.min(...all) * 0.9);
  const high = Math.log10(Math.max(...all) * 1.1);
  const x = (ms: number): number => left + ((Math.log10(ms) - low) / (high - low)) * (right - left);
  const y = (share: number): number => bottom - share * (bottom - top);
  const body: string[] = [];
  for (const share of [0, 0.5, 0.9, 0.99, 1])
    body.push(
      `<line x1="${left}" x2="${right}" y1="${y(share)}" y2="${y(share)}" stroke-dasharray="2 4"/>`,
      text(left - 6, y(share) + (share === 0.99 ? 10 : 4), `${share * 100} %`, 'end'),
    );
  for (const unit of [0.1, 1, 10, 100, 1_000, 10_000])
    for (const times of [1, 2, 5]) {
      const ms = unit * times;
      if (Math.log10(ms) < low || Math.log10(ms) > high) continue;
      body.push(
        `<line x1="${x(ms)}" x2="${x(ms)}" y1="${top}" y2="${bottom}" stroke-dasharray="2 4"/>`,
        text(x(ms), bottom + 16, ms >= 1_000 ? `${ms / 1_000} s` : `${ms} ms`, 'middle'),
      );
    }
  for (const [index, name] of names.entries()) {
    const sorted = [...samples[name]!].sort((a, b) => a - b);
    const points = sorted.map((ms, at) => `${x(ms).toFixed(1)},${y((at + 1) / sorted.length).toFixed(1)}`);
    const colour = COLOURS[index % COLOURS.length]!;
    body.push(
      `<polyline fill="none" stroke="${colour}" stroke-width="2" points="${points.join(' ')}"/>`,
      `<rect x="${left}" y="${bottom + 30 + index * 18}" width="14" height="4" fill="${colour}"/>`,
      text(left + 22, bottom + 36 + index * 18, name),
    );
  }
  return page(bottom + 40 + names.length * 18, title, body);
}

export interface Bar {
  readonly name: string;
  readonly value: number;
  readonly label: string;
}

/** One bar each, and a line for the target. */
export function bars(title: string, rows: readonly Bar[], target?: { value: number; label: string }): string {
  const [left, right, top] = [250, WIDTH - 130, 44];
  const most = Math.max(...rows.map(({ value }) => value), target?.value ?? 0);
  const x = (value: number): number => left + (value / most) * (right - left);
  const bottom = top + rows.length * 26;
  const body = rows.flatMap(({ name, value, label }, index) => [
    text(left - 8, top + index * 26 + 15, name, 'end'),
    `<rect x="${left}" y="${top + index * 26 + 3}" width="${Math.max(1, x(value) - left).toFixed(1)}" height="17" fill="${COLOURS[0]}"/>`,
    text(x(value) + 6, top + index * 26 + 16, label),
  ]);
  if (target !== undefined)
    body.push(
      `<line x1="${x(target.value)}" x2="${x(target.value)}" y1="${top - 4}" y2="${bottom + 4}" style="stroke:#dc2626" stroke-width="2"/>`,
      text(x(target.value), bottom + 18, target.label, 'middle'),
    );
  return page(bottom + 30, title, body);
}
