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
  /** The line on which the function starts, counted from 1. */
  readonly line: number;
  /** The line with the most CPU time, if known. Only a hint, because V8 mixes up the lines of inlined functions. */
  readonly hotLine?: number;
  /** Percentage of the CPU time in which this function was the innermost function of its `owner` on the stack, 0–100. */
  readonly percent: number;
  /** Percentage of the CPU time in which this function was on the stack, 0–100. Near 100 for an endless loop. */
  readonly cumPercent: number;
  readonly owner: Owner;
}

interface Blame {
  frame: Frame;
  /** The largest weight of a stack in which the function is innermost. `frame` is from that stack. */
  hottest: number;
  weight: number;
  cum: number;
  /** The greatest depth of the function, counted in frames of the owner. */
  depth: number;
}

/**
 * Finds the functions that probably use up the CPU time, the likeliest first.
 *
 * Self time would not name a loop, because its cost appears in functions that it calls (Node's task queue, grpc-js). So the
 * CPU time of a stack counts for the innermost function of the service's own code. If the service is on no stack, the time
 * counts for the innermost function of a package. If no package is on a stack either, the time counts for Node's innermost
 * function.
 *
 * Functions with a large share come first. Then come callers that are on nearly every stack, because one of them contains the
 * loop. Among these callers, the innermost comes first. Pure.
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
      // Only the innermost frame of a whole stack has the line with the most CPU time.
      if (frame === stack.frames[0] && weight > entry.hottest) {
        entry.hottest = weight;
        entry.frame = frame;
      }
    }
  }
  return [...blames.values()];
}

/** Describes a suspect on one line, for example `guiltySync (/srv/sync.mjs:12, hottest line 15) 58 %`. */
export function describeSuspect({ percent, cumPercent, ...suspect }: Suspect): string {
  const hottest = suspect.hotLine === undefined ? '' : `, hottest line ${suspect.hotLine}`;
  const place =
    suspect.file === '' ? '' : ` (${placeOf({ file: suspect.file, start: suspect.line })}${hottest})`;
  const share = percent >= LARGE_SHARE * 100 ? `${percent} %` : `${cumPercent} % with what it calls`;
  return `${suspect.function}${place} ${share}`;
}
