/**
 * Stacks with figures, from which every output format is made. They come from a CPU profile (`fold.ts`), or from the call
 * sites of the loop guard (`campaigns.ts`).
 */
export interface Folded {
  /**
   * The meaning of each figure, in pprof's words, for example `cpu` in `nanoseconds`. The last figure decides the widths of
   * boxes and the order of tables.
   */
  readonly types: readonly { readonly type: string; readonly unit: 'count' | 'nanoseconds' }[];
  readonly stacks: readonly Stack[];
  /** How long the profile took, in milliseconds. 0 for call sites. */
  readonly durationMs: number;
  /** Wall clock at the start of the profile, in milliseconds since 1970. 0 if unknown. */
  readonly takenAt: number;
}

export interface Stack {
  /** The frames, innermost first. */
  readonly frames: readonly Frame[];
  /** One figure for each of `types`. */
  readonly values: readonly number[];
}

export interface Frame {
  /** Never empty, free of control characters, at most 160 characters long. Only `(anonymous PLACE)` may be longer. */
  readonly name: string;
  /** A path, a `node:` name, or '' for V8 itself. */
  readonly file: string;
  /** The line on which the function starts, counted from 1. In a call site, the line of the call. 0 if unknown. */
  readonly start: number;
  /**
   * The line with the most CPU time, if the frame is innermost and the line is known. Otherwise `start`. Only a hint, because
   * V8 may attribute lines of an inlined function to its caller.
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

/** The sum of the last figures of all stacks. */
export const totalOf = (folded: Folded): number =>
  folded.stacks.reduce((sum, stack) => sum + weightOf(stack), 0);

/** The same stacks with only their first figure, which then decides widths and order. */
export const byFirstFigure = (folded: Folded): Folded => ({
  ...folded,
  types: folded.types.slice(0, 1),
  stacks: folded.stacks.map(({ frames, values }) => ({ frames, values: values.slice(0, 1) })),
});

export const weightOf = (stack: Stack): number => stack.values.at(-1) ?? 0;

/** Makes a frame, and cleans its texts, because names and paths may contain any characters. */
export function frameOf(raw: { name: string; url: string; start: number; line: number }): Frame {
  const file = clean(pathOf(raw.url), 1024);
  const place = file.slice(file.lastIndexOf('/') + 1) + (raw.start > 0 ? `:${raw.start}` : '');
  // `go tool pprof` merges functions of the same name, so an anonymous function needs its place.
  const name = clean(raw.name, 160) || (place === '' ? '(anonymous)' : `(anonymous ${place})`);
  return { name, file, start: raw.start, line: raw.line, owner: ownerOf(file) };
}

function pathOf(url: string): string {
  if (!url.startsWith('file://')) return url;
  try {
    return decodeURIComponent(url.slice('file://'.length));
  } catch {
    return url; // a URL with a lone %
  }
}

function ownerOf(file: string): Owner {
  if (file === '') return 'vm';
  if (file.startsWith('node:')) return 'node';
  return /[/\\]node_modules[/\\]|^wasm:/.test(file) ? 'dep' : 'app';
}

/** Replaces control characters and bidi marks, because they could clear a terminal or reverse its lines. */
const clean = (text: string, atMost: number): string =>
  text
    .slice(0, atMost)
    .replace(/[\p{Cc}\p{Cs}\u200e\u200f\u202a-\u202e\u2066-\u2069\ufffe\uffff]/gu, '\ufffd');
