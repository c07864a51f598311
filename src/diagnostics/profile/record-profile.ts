import { setTimeout as after } from 'node:timers/promises';
import type { CpuProfile } from '../formats/cpu-profile.ts';
import { DiagnosticsError } from '../errors.ts';

export interface Recording {
  readonly profile: CpuProfile;
  /** Wall clock when it began, in milliseconds since 1970. */
  readonly takenAt: number;
}

/** What takes an inspector's commands: `inspector.Session`, or a connection to another process. */
export interface Inspected {
  post(method: string, params?: object, done?: (error: Error | null, result?: object) => void): void;
}

export interface RecordOptions {
  readonly durationMs: number;
  /** Ends it early, with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Throw away optimised code first. Without it, V8 does not know a function that was compiled before the profile began,
   * and puts its time on its caller: a synchronous loop is never named. Costs 12–26 ms once, and about 1 ms for each
   * megabyte of the heap. It ends coverage that the process collects, so it is left out if NODE_V8_COVERAGE is set.
   */
  readonly deoptimise: boolean;
  /** Called when V8 has begun to take samples. */
  readonly onBegun?: (() => void) | undefined;
}

/** How long the profiled thread may take to answer. It cannot while in native code or in a long garbage collection. */
const ANSWER_WITHIN_MS = 5_000;
/** The time between two samples of a short profile, in milliseconds. */
const SHORTEST_INTERVAL_MS = 1;
/**
 * Samples of a profile at most; a longer one takes them less often. Each can bring as many nodes as its stack is deep.
 * The profiled thread writes all nodes in one go when the profile ends, and the worker has to keep them.
 */
const MOST_SAMPLES = 3_000;

/** As often as Go takes samples, in a profile of half a minute: each 10 ms. */
export const samplingIntervalMicros = (durationMs: number): number =>
  Math.ceil(Math.max(SHORTEST_INTERVAL_MS, durationMs / MOST_SAMPLES) * 1000);

/** Records through a session that is connected already; disconnects nothing. */
export async function recordProfile(session: Inspected, options: RecordOptions): Promise<Recording> {
  const post = (method: string, params?: object): Promise<unknown> =>
    answer(session, method, params, options.signal);
  await post('Profiler.enable');
  try {
    await post('Profiler.setSamplingInterval', { interval: samplingIntervalMicros(options.durationMs) });
    if (options.deoptimise) await post('Profiler.startPreciseCoverage', { callCount: true, detailed: false });
    await post('Profiler.start');
    const takenAt = Date.now();
    if (options.deoptimise) await post('Profiler.stopPreciseCoverage');
    options.onBegun?.();
    await after(options.durationMs, undefined, { signal: options.signal });
    const stopped = (await post('Profiler.stop')) as { profile: CpuProfile };
    return { profile: stopped.profile, takenAt };
  } catch (error) {
    throw options.signal?.aborted ? options.signal.reason : error;
  } finally {
    session.post('Profiler.disable'); // also stops a profile that is still being taken
  }
}

/** One command, bounded in time: pending commands neither fail by themselves nor keep a worker alive. */
function answer(
  session: Inspected,
  method: string,
  params: object = {},
  signal?: AbortSignal,
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const timer = setTimeout(() => {
      const inNative = 'it is in native code, in a long garbage collection, or stopped';
      reject(
        new DiagnosticsError(
          'DIAGNOSTICS_NO_ANSWER',
          `the profiled thread did not answer ${method}: ${inNative}`,
        ),
      );
    }, ANSWER_WITHIN_MS);
    session.post(method, params, (error: Error | null, result?: object) => {
      clearTimeout(timer);
      if (error)
        reject(
          new DiagnosticsError('DIAGNOSTICS_UNAVAILABLE', `${method}: ${error.message}`, { cause: error }),
        );
      else resolve(result);
    });
  });
}
