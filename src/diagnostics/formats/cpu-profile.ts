import { DiagnosticsError } from '../errors.ts';

/**
 * A CPU profile as V8 makes it. As JSON, it is a `.cpuprofile` file for Chrome DevTools, VS Code and speedscope. Times are in
 * microseconds on V8's own monotonic clock.
 */
export interface CpuProfile {
  readonly nodes: readonly ProfileNode[];
  readonly startTime: number;
  readonly endTime: number;
  /** For each sample, the `id` of the node on top of the stack. */
  readonly samples?: readonly number[] | undefined;
  /** Microseconds between a sample and the previous sample. Sometimes below zero. */
  readonly timeDeltas?: readonly number[] | undefined;
}

export interface ProfileNode {
  readonly id: number;
  readonly callFrame: {
    readonly functionName: string;
    readonly url: string;
    /** Counted from 0. −1 if unknown. */
    readonly lineNumber: number;
    readonly columnNumber?: number | undefined;
  };
  readonly children?: readonly number[] | undefined;
  /** How many samples hit each line of the function itself. Lines are counted from 1. */
  readonly positionTicks?: readonly { readonly line: number; readonly ticks: number }[] | undefined;
}

/**
 * @param text the content of a `.cpuprofile` file, possibly from another machine.
 * @throws {DiagnosticsError} DIAGNOSTICS_INVALID if the text is not a profile.
 */
export function parseCpuProfile(text: string): CpuProfile {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new DiagnosticsError('DIAGNOSTICS_INVALID', 'not a .cpuprofile: not JSON', { cause });
  }
  if (!isCpuProfile(value))
    throw new DiagnosticsError('DIAGNOSTICS_INVALID', 'not a .cpuprofile: fields are missing');
  return value;
}

function isCpuProfile(value: unknown): value is CpuProfile {
  const { nodes, startTime, endTime, samples, timeDeltas } = record(value);
  return (
    Array.isArray(nodes) &&
    nodes.every(isNode) &&
    Number.isFinite(startTime) &&
    Number.isFinite(endTime) &&
    isNumbersOrAbsent(samples) &&
    isNumbersOrAbsent(timeDeltas)
  );
}

function isNode(value: unknown): boolean {
  const { id, callFrame, children, positionTicks } = record(value);
  const { functionName, url, lineNumber } = record(callFrame);
  return (
    typeof id === 'number' &&
    typeof functionName === 'string' &&
    typeof url === 'string' &&
    typeof lineNumber === 'number' &&
    isNumbersOrAbsent(children) &&
    (positionTicks === undefined || (Array.isArray(positionTicks) && positionTicks.every(isTick)))
  );
}

function isTick(value: unknown): boolean {
  const { line, ticks } = record(value);
  return typeof line === 'number' && typeof ticks === 'number';
}

const isNumbersOrAbsent = (value: unknown): boolean =>
  value === undefined || (Array.isArray(value) && value.every((item) => typeof item === 'number'));

const record = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
