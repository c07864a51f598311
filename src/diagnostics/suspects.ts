import { type Folded, type Frame, type Owner, functionKey, placeOf, totalOf, weightOf } from './folded.ts';

/** A function that a runaway is blamed on. */
export interface Suspect {
  readonly function: string;
  readonly file: string;
  /** The hottest line where the function itself burnt, otherwise the line on which it starts. */
  readonly line: number;
  /** Share of all CPU time in the profile for which it was the innermost function of `owner`'s code, 0–100. */
  readonly percent: number;
  readonly owner: Owner;
}

/**
 * Who is to blame for the CPU time, the likeliest first.
 *
 * Not by self time: a loop's cost falls into what it calls (Node's task queue, grpc-js). Blamed is the innermost
 * function of the service's own code; where no stack has one, the innermost of a package, then of Node. What V8
 * itself does (compiling, collecting garbage) has no stack and is blamed on nobody. A function on nearly every stack
 * whose share is small is the one that holds the loop: it goes first. Pure.
 *
 * @param atMost how many. Default: 3.
 */
export function suspects(folded: Folded, atMost = 3): Suspect[] {
  const total = totalOf(folded);
  const owner = (['app', 'dep', 'node'] as const).find((each) =>
    folded.stacks.some(({ frames }) => frames.some((frame) => frame.owner === each)),
  );
  if (owner === undefined || total === 0) return [];
  const blamed = new Map<string, { frame: Frame; hottest: number; weight: number }>();
  for (const stack of folded.stacks) {
    const frame = stack.frames.find((each) => each.owner === owner);
    if (frame === undefined) continue;
    const weight = weightOf(stack);
    const entry = blamed.get(functionKey(frame)) ?? { frame, hottest: 0, weight: 0 };
    blamed.set(functionKey(frame), entry);
    entry.weight += weight;
    // Only the top of a stack says on which line it burns.
    if (frame === stack.frames[0] && weight > entry.hottest) {
      entry.hottest = weight;
      entry.frame = frame;
    }
  }
  const holder = loopHolder(folded, owner);
  const first = (frame: Frame): number =>
    holder !== undefined && functionKey(frame) === functionKey(holder) ? 0 : 1;
  const entries = [...blamed.values()];
  if (holder !== undefined && !blamed.has(functionKey(holder)))
    entries.push({ frame: holder, hottest: 0, weight: 0 });
  return entries
    .sort((a, b) => first(a.frame) - first(b.frame) || b.weight - a.weight)
    .slice(0, atMost)
    .map(({ frame, weight }) => ({
      function: frame.name,
      file: frame.file,
      line: frame.line,
      percent: Math.round((weight / total) * 1000) / 10,
      owner: frame.owner,
    }));
}

/** The innermost function of `owner` that stands on at least nine tenths of the stacks with code of `owner`. */
function loopHolder(folded: Folded, owner: Owner): Frame | undefined {
  const on = new Map<string, { frame: Frame; weight: number; depth: number }>();
  let whole = 0;
  for (const stack of folded.stacks) {
    const frames = stack.frames.filter((frame) => frame.owner === owner);
    if (frames.length === 0) continue;
    whole += weightOf(stack);
    const keys = new Set<string>();
    for (const [fromTop, frame] of frames.entries()) {
      const key = functionKey(frame);
      if (keys.has(key)) continue;
      keys.add(key);
      const entry = on.get(key) ?? { frame, weight: 0, depth: 0 };
      on.set(key, {
        frame: entry.frame,
        weight: entry.weight + weightOf(stack),
        depth: frames.length - fromTop,
      });
    }
  }
  return [...on.values()].filter(({ weight }) => weight >= whole * 0.9).sort((a, b) => b.depth - a.depth)[0]
    ?.frame;
}

/** `guiltySync (/srv/sync.mjs:12) 58 %`. */
export const describeSuspect = (suspect: Suspect): string =>
  `${suspect.function}${suspect.file === '' ? '' : ` (${placeOf(suspect)})`} ${suspect.percent} %`;
