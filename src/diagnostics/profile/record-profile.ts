import { setTimeout as after } from 'node:timers/promises';
import type { CpuProfile } from '../formats/cpu-profile.ts';
import { DiagnosticsError } from '../errors.ts';

export interface Recording {
  readonly profile: CpuProfile;
  /** Wall clock at the start, in milliseconds since 1970. */
  readonly takenAt: number;
}

/** Something that takes the commands of an inspector: `inspector.Session`, or a connection to another process. */
export interface Inspected {
  post(method: string, params?: object, done?: (error: Error | null, result?: object) => void): void;
}

export interface RecordOptions {
  readonly durationMs: number;
  /** Ends the recording early, with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Whether to discard optimised code at the start. In code that was optimised before the profile began, V8 attributes inlined
   * functions and running loops to their callers. So the profile would not name a synchronous loop that is already
   * running. We discard the code after the start of the profile: otherwise V8 could optimise the loop again before that
   * start. Discarding costs 12–26 ms once, and about 1 ms per megabyte of the heap. To discard this code, we start and
   * stop V8's coverage, which would disturb a coverage run. So a profile of our own process keeps the code if
   * NODE_V8_COVERAGE is set.
   */
  readonly deoptimise: boolean;
  /**
   * Whether V8's profiler stays enabled afterwards. Disabling it, or disconnecting the session, ends the coverage of all
   * sessions. Default: false.
   */
  readonly staysEnabled?: boolean | undefined;
  /** Called when V8 has begun to take samples. */
  readonly onBegun?: (() => void) | undefined;
}

/** How long the profiled thread may take to answer, in milliseconds. It cannot answer while it is in native code. */
const ANSWER_WITHIN_MS = 5_000;
/** The time between two samples of a short profile, in milliseconds. */
const SHORTEST_INTERVAL_MS = 1;
/**
 * The largest number of samples in a profile. Every sample costs memory in the worker, and time of the profiled thread at
 * the end. So longer profiles take samples less often.
 */
const MOST_SAMPLES = 3_000;

/** The time between two samples. For a profile of 30 s it is 10 ms, as in Go. */
export const samplingIntervalMicros = (durationMs: number): number =>
  Math.ceil(Math.max(SHORTEST_INTERVAL_MS, durationMs / MOST_SAMPLES) * 1000);

/** Records through a connected session, and leaves the session connected. */
export async function recordProfile(session: Inspected, options: RecordOptions): Promise<Recording> {
  const post = (method: string, params?: object): Promise<unknown> =>
    command(session, method, params, options.signal);
  await post('Profiler.enable');
  try {
    await post('Profiler.setSamplingInterval', { interval: samplingIntervalMicros(options.durationMs) });
    await post('Profiler.start');
    const takenAt = Date.now();
    if (options.deoptimise) {
      await post('Profiler.startPreciseCoverage', { callCount: true, detailed: false });
      await post('Profiler.stopPreciseCoverage');
    }
    options.onBegun?.();
    await after(options.durationMs, undefined, { signal: options.signal });
    const stopped = (await post('Profiler.stop')) as { profile: CpuProfile };
    return { profile: stopped.profile, takenAt };
  } catch (error) {
    throw options.signal?.aborted ? options.signal.reason : error;
  } finally {
    // Either command also stops a recording that still runs.
    session.post(options.staysEnabled === true ? 'Profiler.stop' : 'Profiler.disable');
  }
}

/** Sends one command with a time limit. The timer also keeps the worker alive. An unanswered command alone would not. */
export function command(
  session: Inspected,
  method: string,
  params: object = {},
  signal?: AbortSignal,
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const abort = (): void => giveUp(signal?.reason);
    const giveUp = (why: unknown): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
      reject(why as Error);
    };
    const timer = setTimeout(() => {
      const inNative = 'it is in native code, in a long garbage collection, or stopped';
      const why = `the profiled thread did not answer ${method}: ${inNative}`;
      giveUp(new DiagnosticsError('DIAGNOSTICS_NO_ANSWER', why));
    }, ANSWER_WITHIN_MS);
    signal?.addEventListener('abort', abort);
    session.post(method, params, (error: Error | null, result?: object) => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
      if (error)
        reject(
          new DiagnosticsError('DIAGNOSTICS_UNAVAILABLE', `${method}: ${error.message}`, { cause: error }),
        );
      else resolve(result);
    });
  });
}
