import { readFileSync, statSync } from 'node:fs';
import { SourceMap, type SourceMapPayload } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { CpuProfile, ProfileNode } from '../formats/cpu-profile.ts';

/** A place in a file, both counted from 0. */
export interface Place {
  readonly url: string;
  readonly line: number;
  readonly column: number;
}

/** Where something stood before it was compiled; undefined: not known. Without a column: what stands first on that line. */
export type Origin = (line: number, column?: number) => Place | undefined;

/** What a file with a source map, and a map, may hold: the worker that reads it has 96 MB. */
const MOST_BYTES = 16e6;
/** Decoded, mappings take fifteen times their length. */
const MOST_MAPPINGS = 2e6;
/** No line is indented further. */
const INDENTED = 120;

/**
 * A profile with the places of the source that was written, where the file that runs has a source map beside it or in
 * it. Names stay as V8 knows them. What packages bring is left alone, and so is all of which no map tells.
 *
 * @param originOf reads the source map of a file. Reading blocks, so it is for the worker.
 */
export function inSource(
  profile: CpuProfile,
  originOf: (url: string) => Origin | undefined = readOrigin,
): CpuProfile {
  const nodes = [...profile.nodes];
  // One file after the other: a decoded map is large, and only one is kept.
  for (const url of new Set(profile.nodes.map(({ callFrame }) => callFrame.url))) {
    const origin = originOf(url);
    if (origin === undefined) continue;
    for (const [index, node] of profile.nodes.entries())
      if (node.callFrame.url === url) nodes[index] = moved(node, origin);
  }
  return { ...profile, nodes };
}

function moved(node: ProfileNode, origin: Origin): ProfileNode {
  const { callFrame, positionTicks = [] } = node;
  const start = origin(callFrame.lineNumber, callFrame.columnNumber ?? 0);
  if (start === undefined) return node;
  const ticksOf = new Map<number, number>();
  for (const { line, ticks } of positionTicks) {
    const at = origin(line - 1);
    if (at?.url === start.url) ticksOf.set(at.line + 1, (ticksOf.get(at.line + 1) ?? 0) + ticks);
  }
  return {
    ...node,
    callFrame: { ...callFrame, url: start.url, lineNumber: start.line, columnNumber: start.column },
    positionTicks: [...ticksOf].map(([line, ticks]) => ({ line, ticks })),
  };
}

/** @returns undefined where there is no map, or none that can be read: the places then stay as they are. */
function readOrigin(url: string): Origin | undefined {
  if (url.includes('/node_modules/')) return undefined;
  try {
    const file = url.startsWith('/') ? pathToFileURL(url) : new URL(url);
    return file.protocol === 'file:' ? originIn(file) : undefined;
  } catch {
    return undefined;
  }
}

function originIn(file: URL): Origin | undefined {
  const [, named] = /\/\/# sourceMappingURL=(\S+)\s*$/.exec(lastLine(textOf(file))) ?? [];
  if (named === undefined) return undefined;
  const [, base64, inline] = /^data:application\/json[^,]*?(;base64)?,(.*)$/.exec(named) ?? [];
  const beside = inline === undefined ? new URL(named, file) : file;
  const text =
    inline === undefined
      ? textOf(beside)
      : base64 === undefined
        ? decodeURIComponent(inline)
        : Buffer.from(inline, 'base64').toString();
  const { sourcesContent: _texts, ...payload } = JSON.parse(text) as SourceMapPayload;
  if (payload.mappings.length > MOST_MAPPINGS) return undefined;
  const root = payload.sourceRoot ? payload.sourceRoot.replace(/\/?$/, '/') : '';
  const sources = payload.sources.map((source) => new URL(root + source, beside).href);
  return originFrom(new SourceMap({ ...payload, sources, sourcesContent: [] }));
}

function originFrom(map: SourceMap): Origin {
  const at: Origin = (line, column = 0) => {
    const entry = map.findEntry(line, column);
    // The nearest before it, maybe on a line above: that would be of another function.
    if (!('originalSource' in entry) || entry.generatedLine !== line) return undefined;
    return { url: entry.originalSource, line: entry.originalLine, column: entry.originalColumn };
  };
  return (line, column) => {
    if (column !== undefined) return at(line, column);
    for (let indented = 0; indented <= INDENTED; indented++) {
      const first = at(line, indented);
      if (first !== undefined) return first;
    }
    return undefined;
  };
}

const lastLine = (text: string): string => {
  const trimmed = text.trimEnd();
  return trimmed.slice(trimmed.lastIndexOf('\n') + 1);
};

/** @throws for what is no ordinary file, or too large. */
function textOf(url: URL): string {
  const path = fileURLToPath(url); // throws unless it is a file's
  const seen = statSync(path);
  if (!seen.isFile() || seen.size > MOST_BYTES) throw new RangeError(`${path} is not read`);
  return readFileSync(path, 'utf8');
}
