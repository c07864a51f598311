/**
 * Where a command writes to, and how words look there.
 */
import type { Writable } from 'node:stream';

/** All that a command touches of the process. */
export interface Terminal {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdout: Writable & { readonly isTTY?: boolean };
  readonly stderr: Writable & { readonly isTTY?: boolean };
  readonly stdin: NodeJS.ReadableStream & { readonly isTTY?: boolean };
}

type Paint = (text: string) => string;

export interface Palette {
  readonly good: Paint;
  readonly bad: Paint;
  readonly warn: Paint;
  readonly dim: Paint;
  readonly bold: Paint;
}

const CODES = { good: 32, bad: 31, warn: 33, dim: 2, bold: 1 } as const;

/** Colour on a terminal only, and not where the user has said no: https://no-color.org */
export function paletteFor(stream: { readonly isTTY?: boolean }, env: Terminal['env']): Palette {
  const colourful = stream.isTTY === true && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb';
  const paint = (code: number): Paint =>
    colourful ? (text) => `\u001b[${code}m${text}\u001b[0m` : (text) => text;
  return {
    good: paint(CODES.good),
    bad: paint(CODES.bad),
    warn: paint(CODES.warn),
    dim: paint(CODES.dim),
    bold: paint(CODES.bold),
  };
}

export function print(stream: Writable, text: string): void {
  stream.write(`${text}\n`);
}

/** One JSON document a line. Tokens are strings: JSON has no bigint, and a number would lose digits. */
export function printJson(stream: Writable, value: unknown): void {
  print(
    stream,
    JSON.stringify(value, (_, item: unknown) => (typeof item === 'bigint' ? item.toString() : item)),
  );
}

/** Columns padded to the widest cell; the last one as it is. */
export function table(rows: readonly (readonly string[])[]): string {
  const columns = Math.max(0, ...rows.map(({ length }) => length));
  const widths = Array.from({ length: columns }, (_, column) =>
    Math.max(0, ...rows.map((row) => printable(row[column] ?? '').length)),
  );
  return rows
    .map((row) =>
      row
        .map((cell, column) => {
          const safe = printable(cell);
          return column === row.length - 1 ? safe : safe.padEnd(widths[column]!);
        })
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** What a candidate announces is anybody's text: a terminal must not obey it. */
export const printable = (text: string): string =>
  text.replace(
    /[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu,
    (character) => `\\x${character.codePointAt(0)!.toString(16).padStart(2, '0')}`,
  );
