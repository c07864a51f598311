import {
  type Folded,
  type Frame,
  type Owner,
  type Stack,
  functionKey,
  placeOf,
  totalOf,
  weightOf,
} from './folded.ts';

/** A function that probably causes a runaway. */
export interface Suspect {
  readonly function: string;
  readonly file: string;
  /** The line on which it starts, counted from 1. */
  readonly line: number;
  /** Its line with the most CPU time, if known. Only a hint, because V8 mixes up the lines of inlined functions. */
  readonly hotLine?: number;
  /** Share of the profile's CPU time during which it was the innermost function of `owner`'s code, 0–100. */
  readonly percent: number;
  /** The same including the functions it called, 0–100. A function with an endless loop is near 100. */
  readonly cumPercent: number;
  readonly owner: Owner;
}

interface Blame {
  frame: Frame;
  /** The largest weight of one stack in which the function is innermost. `frame` is from that stack, with its hottest line. */
  hottest: number;
  weight: number;
  cum: number;
  /** Its greatest depth: the largest number of the owner's frames on one stack, from the outermost to this one, both included. */
  depth: number;
}

/**
 * Finds the functions that probably cause the CPU time, the likeliest first.
 *
 * Self time does not show them: the cost of a loop appears in the functions it calls (Node's task queue, grpc-js). So the CPU
 * time of a stack counts for the innermost function of the service's own code. If no stack has one, it counts for the
 * innermost function of a package, then of Node. Work of V8 (compiling, collecting garbage) has no stack and counts for no
 * function. After the functions with a large share come the callers that are on nearly every stack, the innermost first. One
 * of them contains the loop. Pure.
 *
 * @param atMost how many. Default: 3.
 */
export function suspects(folded: Folded, atMost = 3): Suspect[] {
  const total = totalOf(folded);
  const owner = (['app', 'dep', 'node'] as const).find((each) =>
    folded.stacks.some(({ frames }) => frames.some((frame) => frame.owner === each)),
  );
  if (owner === undefined || total === 0) return [];
  const blames = blame(folded, owner);
  const whole = folded.stacks.reduce((sum, stack) => sum + (isOf(stack, owner) ? weightOf(stack) : 0), 0);
  const rank = ({ weight, cum }: Blame): number =>
    weight >= total * LARGE_SHARE ? 0 : cum >= whole * NEARLY_ALL ? 1 : 2;
  const percent = (part: number): number => Math.round((part / total) * 1000) / 10;
  const named = blames.filter(({ cum }) => cum >= total * SMALLEST_SHARE);
  return (named.length > 0 ? named : blames)
    .sort((a, b) => rank(a) - rank(b) || (rank(a) === 1 ? b.depth - a.depth : b.weight - a.weight))
    .slice(0, atMost)
    .map(({ frame: { name, file, start, line }, weight, cum }) => ({
      function: name,
      file,
      line: start,
      ...(line !== start && { hotLine: line }),
      percent: percent(weight),
      cumPercent: percent(cum),
      owner,
    }));
}

const LARGE_SHARE = 0.05;
const SMALLEST_SHARE = 0.01;
const NEARLY_ALL = 0.9;

const isOf = (stack: Stack, owner: Owner): boolean => stack.frames.some((frame) => frame.owner === owner);

function blame(folded: Folded, owner: Owner): Blame[] {
  const blames = new Map<string, Blame>();
  for (const stack of folded.stacks) {
    const weight = weightOf(stack);
    const own = stack.frames.filter((frame) => frame.owner === owner);
    const seen = new Set<string>(); // a recursive function counts once per stack
    for (const [above, frame] of own.entries()) {
      const key = functionKey(frame);
      if (seen.has(key)) continue;
      seen.add(key);
      const entry = blames.get(key) ?? { frame, hottest: 0, weight: 0, cum: 0, depth: 0 };
      blames.set(key, entry);
      entry.cum += weight;
      entry.depth = Math.max(entry.depth, own.length - above);
      if (above === 0) entry.weight += weight;
      // Only the innermost frame of a whole stack has the current line.
      if (frame === stack.frames[0] && weight > entry.hottest) {
        entry.hottest = weight;
        entry.frame = frame;
      }
    }
  }
  return [...blames.values()];
}

/** `guiltySync (/srv/sync.mjs:12, hottest line 15) 58 %`. */
export function describeSuspect({ percent, cumPercent, ...suspect }: Suspect): string {
  const hottest = suspect.hotLine === undefined ? '' : `, hottest line ${suspect.hotLine}`;
  const place =
    suspect.file === '' ? '' : ` (${placeOf({ file: suspect.file, start: suspect.line })}${hottest})`;
  const share = percent >= LARGE_SHARE * 100 ? `${percent} %` : `${cumPercent} % with what it calls`;
  return `${suspect.function}${place} ${share}`;
}
