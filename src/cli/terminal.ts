/**
 * Output to a terminal. Only a {@link SafeText} can be printed. So no escape sequence of foreign text reaches the
 * terminal.
 */
import type { Writable } from 'node:stream';

export interface Terminal {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdout: Writable & { readonly isTTY?: boolean; readonly columns?: number };
  readonly stderr: Writable & { readonly isTTY?: boolean };
  readonly stdin: NodeJS.ReadableStream & { readonly isTTY?: boolean };
  /** The file of the command `etcd-election`; undefined if another program runs this code. */
  readonly self?: string | undefined;
}

/** Text that may be printed: literals of this program, colours, and cleaned foreign text. */
export class SafeText {
  readonly #text: string;

  private constructor(text: string) {
    this.#text = text;
  }

  /** For literals of this program, and for text that is already cleaned. */
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

/** Colours, if the stream is a terminal and NO_COLOR is not set: https://no-color.org */
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

export function print(stream: Writable, text: SafeText): void {
  stream.write(`${text.toString()}\n`);
}

/**
 * Prints one JSON document on one line. A bigint becomes a string, because a number would lose digits. All unprintable
 * characters are escaped. `JSON.stringify` alone escapes only a few of them.
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

/** How many characters of a value are shown in text. A value may have 16 KiB, and JSON output shows all of it. */
const MOST_SHOWN = 60;

/** A cleaned value for one line of text. @param most its greatest length, in characters. */
export function shownValue(value: string, most: number = MOST_SHOWN): SafeText {
  if (value === '') return SafeText.ofOurs('(no value)');
  // Counts code points, because a cut inside a surrogate pair would leave half a character.
  const clean = Array.from(printable(value.slice(0, 4 * most)));
  return SafeText.ofOurs(clean.length > most ? `${clean.slice(0, most - 1).join('')}…` : clean.join(''));
}

const DEFAULT_COLUMNS = 80;

/** Breaks the lines of our help for a terminal. A broken description continues in the column in which it began. */
export const wrapped = (text: string, columns: number = DEFAULT_COLUMNS): string =>
  text
    .replace(/^(\S.{79,})\n(?=\S)/gm, '$1 ') // joins the lines of a paragraph
    .split('\n')
    .flatMap((line) => brokenLine(line, columns))
    .join('\n');

function brokenLine(line: string, columns: number): string[] {
  const column = /^(\s*\S.*?\s{2,})\S/.exec(line)?.[1]!.length ?? /^\s*/.exec(line)![0].length;
  const hanging = ' '.repeat(column <= columns / 2 ? column : 4);
  const lines: string[] = [];
  let rest = line;
  while (rest.length > columns) {
    const at = rest.lastIndexOf(' ', columns);
    if (at <= hanging.length) break; // one long word
    lines.push(rest.slice(0, at).trimEnd());
    rest = hanging + rest.slice(at).trimStart();
  }
  return [...lines, rest];
}

export function table(rows: readonly (readonly Part[])[]): SafeText[] {
  const safeRows = rows.map((row) => row.map(cleaned));
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
 * Control characters, line separators, lone surrogates, and private or unassigned characters. Also invisible characters
 * that change the order or the look of others. Allows the joiners that emoji and several scripts need.
 */
const UNPRINTABLE = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}\p{Cn}]/gu;

/** Cleans foreign text, such as a candidate's value. */
export const printable = (text: string): string =>
  text.replace(UNPRINTABLE, (character) => {
    const code = character.codePointAt(0)!;
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`;
  });
