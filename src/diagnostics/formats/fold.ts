import type { CpuProfile, ProfileNode } from './cpu-profile.ts';
import { type Folded, type Frame, type Stack, frameOf } from './folded.ts';

/**
 * Folds a CPU profile into stacks, weighted by samples and by nanoseconds of CPU.
 *
 * A sample stands for the time until the next sample. V8 writes the time *before* each sample, so sample i weighs
 * `timeDeltas[i + 1]`. `(idle)` is dropped because the thread slept, and `(root)` because it is not a function. Pure.
 *
 * @param takenAt wall clock at the profile's start, in milliseconds since 1970. Default: 0, unknown.
 */
export function fold(profile: CpuProfile, takenAt = 0): Folded {
  const tree: Tree = {
    nodes: new Map(profile.nodes.map((node) => [node.id, node])),
    parents: parentsOf(profile.nodes),
    starts: startsOf(profile.nodes),
    callers: new Map(),
  };
  const stacks: Stack[] = [];
  for (const [id, { samples, micros }] of selfTimes(profile)) {
    const node = tree.nodes.get(id);
    if (node === undefined || isIdle(node)) continue;
    const frames = framesOf(node, tree);
    if (frames.length > 0) stacks.push({ frames, values: [samples, micros * 1000] });
  }
  return {
    types: [
      { type: 'samples', unit: 'count' },
      { type: 'cpu', unit: 'nanoseconds' },
    ],
    stacks,
    durationMs: Math.max(0, profile.endTime - profile.startTime) / 1000,
    takenAt,
  };
}

function selfTimes(profile: CpuProfile): Map<number, { samples: number; micros: number }> {
  const { samples = [], timeDeltas = [] } = profile;
  const times = new Map<number, { samples: number; micros: number }>();
  let at = profile.startTime;
  let counted = at; // the time before this moment is counted
  for (const [index, id] of samples.entries()) {
    at += timeDeltas[index] ?? 0;
    counted = Math.min(Math.max(counted, at), profile.endTime);
    const next = Math.min(at + (timeDeltas[index + 1] ?? Infinity), profile.endTime);
    const time = times.get(id) ?? { samples: 0, micros: 0 };
    time.samples++;
    // Time before `counted` is not counted again, even if a delta is below zero.
    time.micros += Math.max(0, Math.round(next - counted));
    times.set(id, time);
  }
  return times;
}

function parentsOf(nodes: readonly ProfileNode[]): Map<number, number> {
  const parents = new Map<number, number>();
  for (const node of nodes) for (const child of node.children ?? []) parents.set(child, node.id);
  return parents;
}

interface Tree {
  readonly nodes: ReadonlyMap<number, ProfileNode>;
  readonly parents: ReadonlyMap<number, number>;
  readonly starts: Starts;
  /** Frames of calling functions. Thousands of stacks share them, because copies would fill the memory. */
  readonly callers: Map<string, Frame>;
}

function framesOf(leaf: ProfileNode, { nodes, parents, starts, callers }: Tree): Frame[] {
  const frames: Frame[] = [];
  // Bounded, because in a forged profile a node may be its own ancestor.
  let left = nodes.size;
  for (let node: ProfileNode | undefined = leaf; node !== undefined && left > 0; left--) {
    if (node.callFrame.functionName !== '(root)')
      frames.push(node === leaf ? leafFrame(node, starts) : callerFrame(node, callers));
    const parent: number | undefined = parents.get(node.id);
    node = parent === undefined ? undefined : nodes.get(parent);
  }
  return frames;
}

function leafFrame(node: ProfileNode, starts: Starts): Frame {
  const { functionName: name, url, lineNumber } = node.callFrame;
  return frameOf({ name, url, start: lineNumber + 1, line: hottestLine(node, starts) });
}

function callerFrame({ callFrame }: ProfileNode, callers: Map<string, Frame>): Frame {
  const { functionName: name, url, lineNumber } = callFrame;
  const key = `${name}\n${url}\n${lineNumber}`;
  const known = callers.get(key);
  if (known !== undefined) return known;
  const frame = frameOf({ name, url, start: lineNumber + 1, line: lineNumber + 1 });
  callers.set(key, frame);
  return frame;
}

/** The start lines of the functions of each file, in order. */
type Starts = ReadonlyMap<string, readonly number[]>;

function startsOf(nodes: readonly ProfileNode[]): Starts {
  const starts = new Map<string, number[]>();
  for (const { callFrame } of nodes) {
    const lines = starts.get(callFrame.url) ?? [];
    starts.set(callFrame.url, lines);
    lines.push(callFrame.lineNumber + 1);
  }
  for (const lines of starts.values()) lines.sort((a, b) => a - b);
  return starts;
}

/**
 * Finds the hottest line of a function. V8 attributes the lines of an inlined function, perhaps from another file, to the
 * caller. So only the lines from the start of the function to the start of the next known function count.
 */
function hottestLine({ callFrame, positionTicks = [] }: ProfileNode, starts: Starts): number {
  const start = callFrame.lineNumber + 1;
  const end = starts.get(callFrame.url)?.find((line) => line > start) ?? start + LONG_FUNCTION;
  const own = positionTicks.filter(({ line }) => line >= start && line < end);
  return own.reduce((best, tick) => (tick.ticks > best.ticks ? tick : best), { line: start, ticks: 0 }).line;
}

const LONG_FUNCTION = 100;

const isIdle = (node: ProfileNode): boolean =>
  node.callFrame.functionName === '(idle)' && node.callFrame.url === '';
