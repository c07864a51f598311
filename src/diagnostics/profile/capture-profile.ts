import type { Session } from 'node:inspector';
import { A_SIGNAL, followed, isAbortSignal } from '../../util/abort.ts';
import type { CpuProfile } from '../formats/cpu-profile.ts';
import { DiagnosticsError } from '../errors.ts';
import { connectInspector, whyNoProfile } from './inspector.ts';
import { recordProfile } from './record-profile.ts';

export interface CaptureOptions {
  /** How long to record, in seconds. Default: 30. Above 0, at most 600. */
  seconds?: number | undefined;
  /** Ends the recording. Then the call rejects with the signal's reason. Default: none. */
  signal?: AbortSignal | undefined;
}

/**
 * Records a CPU profile of the calling thread. A recording of at most 3 s takes a sample every millisecond. A longer
 * recording takes about 3,000 samples in all.
 *
 * A recording cannot end while the thread spins. For a spinning thread, use `serveDiagnostics` or the watchdog, which record
 * from a worker.
 *
 * In its first 100 ms, a recording costs up to a third of the thread's speed. After that it costs 0–13 % until its end. The
 * coverage of NODE_V8_COVERAGE and c8 continues. Coverage that the process collects through an inspector session of its own, as
 * vitest does, ends.
 *
 * @throws {RangeError} if `seconds` is out of range.
 * @throws {TypeError} if `signal` is not a signal.
 * @throws {DiagnosticsError} DIAGNOSTICS_BUSY if another call records this thread; DIAGNOSTICS_UNAVAILABLE if Node has no
 *   inspector or does not permit it.
 */
export async function captureProfile({ seconds = 30, signal }: CaptureOptions = {}): Promise<CpuProfile> {
  if (!(seconds > 0 && seconds <= 600))
    throw new RangeError(`seconds: expected above 0, at most 600, got ${seconds}`);
  checkSignal(signal);
  if (signal?.aborted === true) followed(signal).signal.throwIfAborted();
  if (isCapturing)
    throw new DiagnosticsError('DIAGNOSTICS_BUSY', 'a CPU profile of this thread is already being taken');
  const session = sessionOfCoverage ?? connectInspector('own', whyNoProfile());
  const isCovered = Boolean(process.env['NODE_V8_COVERAGE']);
  const over = followed(signal);
  isCapturing = true;
  try {
    const settings = { deoptimise: !isCovered, staysEnabled: isCovered };
    const recording = { durationMs: seconds * 1000, signal: over.signal, ...settings };
    return (await recordProfile(session, recording)).profile;
  } finally {
    over.off();
    isCapturing = false;
    if (isCovered) sessionOfCoverage = session;
    else session.disconnect();
  }
}

let isCapturing = false;

/** The session of earlier recordings. It stays connected until the thread ends: a disconnect would end V8's coverage. */
let sessionOfCoverage: Session | undefined;

/** @throws {TypeError} if the value is neither undefined nor a signal. */
export function checkSignal(signal: unknown): void {
  if (signal !== undefined && !isAbortSignal(signal)) throw new TypeError(`signal: expected ${A_SIGNAL}`);
}
