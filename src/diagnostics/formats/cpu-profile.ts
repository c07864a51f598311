import { DiagnosticsError } from '../errors.ts';

/**
 * A CPU profile as V8 makes it. `JSON.stringify` of it is a `.cpuprofile` file, which Chrome DevTools, VS Code
 * and speedscope open. Times are in microseconds on V8's own monotonic clock.
 */
export interface CpuProfile {
  readonly nodes: readonly ProfileNode[];
  readonly startTime: number;
  readonly endTime: number;
  /** The node on top of the stack, for each sample. */
  readonly samples?: readonly number[] | undefined;
  /** Microseconds between a sample and the one before it; now and then below zero. */
  readonly timeDeltas?: readonly number[] | undefined;
}

export interface ProfileNode {
  readonly id: number;
  readonly callFrame: {
    readonly functionName: string;
    readonly url: string;
    /** Counted from 0; −1 where V8 knows none. */
    readonly lineNumber: number;
    readonly columnNumber?: number | undefined;
  };
  readonly children?: readonly number[] | undefined;
  /** On which lines (counted from 1) the samples of this very node fell. */
  readonly positionTicks?: readonly { readonly line: number; readonly ticks: number }[] | undefined;
}

/**
 * @param text what a `.cpuprofile` file holds, possibly from another machine.
 * @throws {DiagnosticsError} DIAGNOSTICS_INVALID if it is not one.
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
    (positionTicks === undefined || Array.isArray(positionTicks))
  );
}

const isNumbersOrAbsent = (value: unknown): boolean =>
  value === undefined || (Array.isArray(value) && value.every((item) => typeof item === 'number'));

const record = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
