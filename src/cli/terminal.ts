/**
 * Where a command writes to, and how words look there. Nothing reaches a terminal that a terminal could obey: only a
 * {@link SafeText} can be printed, and whatever is put into one is cleaned first.
 */
import type { Writable } from 'node:stream';

/** All that a command touches of the process. */
export interface Terminal {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdout: Writable & { readonly isTTY?: boolean };
  readonly stderr: Writable & { readonly isTTY?: boolean };
  readonly stdin: NodeJS.ReadableStream & { readonly isTTY?: boolean };
  /** The file of the command `etcd-election`; undefined where something else runs us. */
  readonly self?: string | undefined;
}

/** Text that may be printed: our own words and colours, and the cleaned words of others. */
export class SafeText {
  readonly #text: string;

  private constructor(text: string) {
    this.#text = text;
  }

  /** For literals of this program only. */
  static ofOurs(text: string): SafeText {
    return new SafeText(text);
  }

  toString(): string {
    return this.#text;
  }
}

export type Part = string | number | bigint | SafeText;

/** A template whose values are cleaned, unless they are safe already. */
export function safe(literals: TemplateStringsArray, ...parts: readonly Part[]): SafeText {
  const text = literals.map(
    (literal, index) => literal + (index < parts.length ? cleaned(parts[index]!) : ''),
  );
  return SafeText.ofOurs(text.join(''));
}

export const joined = (parts: readonly Part[], separator: string): SafeText =>
  SafeText.ofOurs(parts.map(cleaned).join(separator));

const cleaned = (part: Part): string =>
  part instanceof SafeText ? part.toString() : printable(String(part));

type Paint = (text: Part) => SafeText;

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
    colourful
      ? (text) => SafeText.ofOurs(`\u001b[${code}m${cleaned(text)}\u001b[0m`)
      : (text) => safe`${text}`;
  return {
    good: paint(CODES.good),
    bad: paint(CODES.bad),
    warn: paint(CODES.warn),
    dim: paint(CODES.dim),
    bold: paint(CODES.bold),
  };
}

/** A line. */
export function print(stream: Writable, text: SafeText): void {
  stream.write(`${text.toString()}\n`);
}

/**
 * One JSON document a line. Tokens are strings: JSON has no bigint, and a number would lose digits. JSON itself escapes
 * only what is below U+0020.
 */
export function printJson(stream: Writable, value: unknown): void {
  const json = JSON.stringify(value, (_, item: unknown) =>
    typeof item === 'bigint' ? item.toString() : item,
  );
  const escaped = json.replace(UNPRINTABLE, (character) =>
    [...Array(character.length).keys()]
      .map((index) => `\\u${character.charCodeAt(index).toString(16).padStart(4, '0')}`)
      .join(''),
  );
  stream.write(`${escaped}\n`);
}

/** Columns padded to the widest cell; the last one as it is. A line each. */
export function table(rows: readonly (readonly string[])[]): SafeText[] {
  const safeRows = rows.map((row) => row.map(printable));
  const columns = Math.max(0, ...safeRows.map(({ length }) => length));
  const widths = Array.from({ length: columns }, (_, column) =>
    Math.max(0, ...safeRows.map((row) => (row[column] ?? '').length)),
  );
  return safeRows.map((row) =>
    SafeText.ofOurs(
      row
        .map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column]!)))
        .join('  ')
        .trimEnd(),
    ),
  );
}

/**
 * Control characters (C0, C1), line separators, half characters, private and unassigned ones, and those that have no
 * shape but change the order or the look of others. The joiners that emoji and several scripts need stay.
 */
const UNPRINTABLE = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}\p{Cn}]/gu;

/** What a candidate announces is anybody's text: a terminal must not obey it. */
export const printable = (text: string): string =>
  text.replace(UNPRINTABLE, (character) => {
    const code = character.codePointAt(0)!;
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`;
  });
