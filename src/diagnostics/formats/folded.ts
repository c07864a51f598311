/**
 * Stacks with figures, from which every output format is made. A CPU profile is folded into it (`fold.ts`), and so are the
 * call sites that the loop guard counted (`campaigns.ts`).
 */
export interface Folded {
  /** What each figure of a stack means, in pprof's words: `cpu` in `nanoseconds`. The last figure decides widths and order. */
  readonly types: readonly { readonly type: string; readonly unit: 'count' | 'nanoseconds' }[];
  readonly stacks: readonly Stack[];
  /** How long the profile took, in milliseconds; 0 if the figures are counts since the start. */
  readonly durationMs: number;
  /** Wall clock at its start, in milliseconds since 1970. */
  readonly takenAt: number;
}

export interface Stack {
  /** The frames, innermost first. The current line is known only for the innermost. */
  readonly frames: readonly Frame[];
  /** One figure for each of `types`. */
  readonly values: readonly number[];
}

export interface Frame {
  /** Never empty, and free of control characters. At most 160 characters long; only `(anonymous PLACE)` may be longer. */
  readonly name: string;
  /** A path, a `node:` name, or '' for work of V8 itself. */
  readonly file: string;
  /** The line on which the function starts, counted from 1; 0 if unknown. */
  readonly start: number;
  /**
   * For an innermost frame, the line with the most CPU time if it is known; otherwise `start`. V8 also counts lines of inlined
   * functions, so this is only a hint, while `start` is exact.
   */
  readonly line: number;
  readonly owner: Owner;
}

/** The owner of the code: the service, a package, Node, or the engine (garbage collector, compiler). */
export type Owner = 'app' | 'dep' | 'node' | 'vm';

/** Two frames with the same key are the same function. */
export const functionKey = (frame: Frame): string => `${frame.name}\n${frame.file}\n${frame.start}`;

/** The place of a function: `file:line`, `file`, or '' for V8 itself. */
export const placeOf = ({ file, start }: Pick<Frame, 'file' | 'start'>): string =>
  file === '' || start <= 0 ? file : `${file}:${start}`;

/** @returns the sum of the figures that decide widths and order. */
export const totalOf = (folded: Folded): number =>
  folded.stacks.reduce((sum, stack) => sum + weightOf(stack), 0);

/** The same stacks, drawn and ranked by their first figure. */
export const byFirstFigure = (folded: Folded): Folded => ({
  ...folded,
  types: folded.types.slice(0, 1),
  stacks: folded.stacks.map(({ frames, values }) => ({ frames, values: values.slice(0, 1) })),
});

export const weightOf = (stack: Stack): number => stack.values.at(-1) ?? 0;

/** @returns a frame from a profile or a stack trace. Its texts are cleaned, because users choose the names. */
export function frameOf(raw: { name: string; url: string; start: number; line: number }): Frame {
  const file = clean(pathOf(raw.url), 1024);
  const place = file.slice(file.lastIndexOf('/') + 1) + (raw.start > 0 ? `:${raw.start}` : '');
  // `go tool pprof` merges functions of the same name. Without the place, it would merge all anonymous functions.
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

/** Replaces control characters. A name like "\u001b[2J" would clear a terminal, and bidi marks would reverse the line. */
const clean = (text: string, atMost: number): string =>
  text
    .slice(0, atMost)
    .replace(/[\p{Cc}\p{Cs}\u200e\u200f\u202a-\u202e\u2066-\u2069\ufffe\uffff]/gu, '\ufffd');
