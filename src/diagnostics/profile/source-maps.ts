import { readFileSync, statSync } from 'node:fs';
import { SourceMap, type SourceMapPayload } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { CpuProfile, ProfileNode } from '../formats/cpu-profile.ts';

/** A place in a file. Line and column are counted from 0. */
export interface Place {
  readonly url: string;
  readonly line: number;
  readonly column: number;
}

/**
 * Returns the place in the original source, or undefined if unknown. Without a column, it returns the place of the first
 * code on the line.
 */
export type Origin = (line: number, column?: number) => Place | undefined;

/** Largest file to read, in bytes, because the memory of the worker is limited. */
const MOST_BYTES = 16e6;
/** Longest `mappings` of a source map, in characters. Decoded mappings take fifteen times as much memory. */
const MOST_MAPPINGS = 2e6;
/** How many columns of a line to search for its first mapping. */
const INDENTED = 120;

/**
 * Replaces the places in a profile by places in the original source, if the running file has a source map. Names of
 * functions, files of packages, and places without a mapping stay unchanged.
 *
 * @param originOf reads the source map of a file. The read blocks the thread, so call `inSource` only in the worker.
 */
export function inSource(
  profile: CpuProfile,
  originOf: (url: string) => Origin | undefined = readOrigin,
): CpuProfile {
  const nodes = [...profile.nodes];
  // One file after the other, because a decoded map is large.
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
    // `findEntry` may return a mapping of an earlier line.
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

/** @throws if the URL names no ordinary file, or the file is too large. */
function textOf(url: URL): string {
  const path = fileURLToPath(url);
  const seen = statSync(path);
  if (!seen.isFile() || seen.size > MOST_BYTES) throw new RangeError(`${path} is not read`);
  return readFileSync(path, 'utf8');
}
