/**
 * What every format is made from: stacks with figures. A CPU profile folds into it (`fold.ts`), and so do the
 * call sites that the loop guard counted (`campaigns.ts`).
 */
export interface Folded {
  /** What each of a stack's figures counts, as pprof writes it: `cpu` in `nanoseconds`. The last one draws and ranks. */
  readonly types: readonly { readonly type: string; readonly unit: 'count' | 'nanoseconds' }[];
  readonly stacks: readonly Stack[];
  /** How long the profile took, in milliseconds; 0 where it is a count since the start. */
  readonly durationMs: number;
  /** Wall clock at its start, in milliseconds since 1970. */
  readonly takenAt: number;
}

export interface Stack {
  /** Innermost first. Only of the innermost it is known on which line it was. */
  readonly frames: readonly Frame[];
  /** One figure for each of `types`. */
  readonly values: readonly number[];
}

export interface Frame {
  /** Never empty; free of control characters; at most 160 characters long. */
  readonly name: string;
  /** A path, a `node:` name, or '' for what V8 itself does. */
  readonly file: string;
  /** The line on which the function starts, counted from 1; 0 where unknown. */
  readonly start: number;
  /**
   * The line that burnt most, for an innermost frame where it is known; otherwise `start`. V8 counts the lines of a
   * function that it has inlined, so this is a hint where `start` is a fact.
   */
  readonly line: number;
  readonly owner: Owner;
}

/** Whose code it is: the service's own, a package's, Node's, or the engine's (garbage collector, compiler). */
export type Owner = 'app' | 'dep' | 'node' | 'vm';

/** Two frames with the same key are the same function. */
export const functionKey = (frame: Frame): string => `${frame.name}\n${frame.file}\n${frame.start}`;

/** Where a function stands: `file:line`, `file`, or '' for V8's own. */
export const placeOf = ({ file, start }: Pick<Frame, 'file' | 'start'>): string =>
  file === '' || start <= 0 ? file : `${file}:${start}`;

/** @returns the sum of the figures that draw and rank. */
export const totalOf = (folded: Folded): number =>
  folded.stacks.reduce((sum, stack) => sum + weightOf(stack), 0);

/** The same, drawn and ranked by the first of its figures. */
export const byFirstFigure = (folded: Folded): Folded => ({
  ...folded,
  types: folded.types.slice(0, 1),
  stacks: folded.stacks.map(({ frames, values }) => ({ frames, values: values.slice(0, 1) })),
});

export const weightOf = (stack: Stack): number => stack.values.at(-1) ?? 0;

/** @returns a frame made of what a profile or a stack trace says, cleaned: both print names that users chose. */
export function frameOf(raw: { name: string; url: string; start: number; line: number }): Frame {
  const file = clean(pathOf(raw.url), 1024);
  const place = file.slice(file.lastIndexOf('/') + 1) + (raw.start > 0 ? `:${raw.start}` : '');
  // `go tool pprof` merges what has the same name: without its place, every anonymous function would be one.
  const name = clean(raw.name, 160) || (place === '' ? '(anonymous)' : `(anonymous ${place})`);
  return { name, file, start: raw.start, line: raw.line, owner: ownerOf(file) };
}

function pathOf(url: string): string {
  if (!url.startsWith('file://')) return url;
  try {
    return decodeURIComponent(url.slice('file://'.length));
  } catch {
    return url; // a lone % in a hand-made URL: show it as it is
  }
}

function ownerOf(file: string): Owner {
  if (file === '') return 'vm';
  if (file.startsWith('node:')) return 'node';
  return /[/\\]node_modules[/\\]|^wasm:/.test(file) ? 'dep' : 'app';
}

/** A name like "\u001b[2J" would clear the reader's terminal; bidi marks would turn the line around. */
const clean = (text: string, atMost: number): string =>
  text
    .slice(0, atMost)
    .replace(/[\p{Cc}\p{Cs}\u200e\u200f\u202a-\u202e\u2066-\u2069\ufffe\uffff]/gu, '\ufffd');
