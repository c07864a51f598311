import { readFileSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';
import { setTimeout as after } from 'node:timers/promises';
import { followed } from '../../util/abort.ts';
import { checkSignal } from './capture-profile.ts';
import { closeInspector, closeThrough } from './close-inspector.ts';
import type { CpuProfile } from '../formats/cpu-profile.ts';
import { DiagnosticsError } from '../errors.ts';
import { command, recordProfile } from './record-profile.ts';
import { type Evaluated, inspectorUrl, RemoteInspector } from './remote-inspector.ts';

export interface CaptureProcessOptions {
  /** Process ID of a Node process of this user, on this machine. */
  pid: number;
  /** How long to record, in seconds. Default: 30. Above 0, at most 600. */
  seconds?: number | undefined;
  /** Ends the recording. Then the call rejects with the signal's reason. Default: none. */
  signal?: AbortSignal | undefined;
  /** Port of the inspector of that process. Default: 9229, as in Node. */
  port?: number | undefined;
  /**
   * Called just before SIGUSR1 is sent. A process in native code opens its inspector only after that code returns,
   * perhaps after `captureProcess()` has rejected. So call `closeInspector()` if `captureProcess()` rejects, and
   * `onSignal` was called but `onClosed` was not.
   */
  onSignal?: (() => void) | undefined;
  /** Called when `captureProcess()` has closed the inspector that it opened, even after an error. */
  onClosed?: (() => void) | undefined;
}

const OPEN_WITHIN_MS = 5_000;
const CLOSE_WITHIN_MS = 2_000;

/**
 * Records a CPU profile of another process, even while its main thread spins. The process needs no preparation. Linux only.
 *
 * If the inspector of the process is closed, the call opens it with SIGUSR1, and closes it afterwards. Meanwhile every user of
 * this machine can attach to it. A service with its own SIGUSR1 handler runs that handler and opens no inspector.
 *
 * @throws {RangeError} if `seconds` is out of range.
 * @throws {TypeError} if `signal` is not a signal.
 * @throws {DiagnosticsError} DIAGNOSTICS_UNAVAILABLE if the process does not exist, belongs to another user, is not Node, or
 *   opens no inspector; DIAGNOSTICS_NO_ANSWER if its main thread does not answer the inspector within 5 s.
 */
export async function captureProcess(options: CaptureProcessOptions): Promise<CpuProfile> {
  const { pid, seconds = 30, signal, port = 9229 } = options;
  const { onSignal = () => undefined, onClosed = () => undefined } = options;
  if (!(seconds > 0 && seconds <= 600))
    throw new RangeError(`seconds: expected above 0, at most 600, got ${seconds}`);
  checkSignal(signal);
  const over = followed(signal);
  over.signal.throwIfAborted();
  try {
    return await captureFrom(pid, {
      durationMs: seconds * 1000,
      port,
      signal: over.signal,
      onSignal,
      onClosed,
    });
  } finally {
    over.off();
  }
}

interface Capture {
  readonly durationMs: number;
  readonly port: number;
  readonly signal: AbortSignal;
  readonly onSignal: () => void;
  readonly onClosed: () => void;
}

async function captureFrom(
  pid: number,
  { durationMs, port, signal, onSignal, onClosed }: Capture,
): Promise<CpuProfile> {
  const wasOpen = (await inspectorUrl(port)) !== undefined;
  if (!wasOpen) openInspector(pid, onSignal);
  let remote: RemoteInspector | undefined;
  try {
    remote = await RemoteInspector.connect(await untilOpen(port, pid, signal));
    const asked = { expression: 'process.pid', returnByValue: true };
    const { result } = (await command(remote, 'Runtime.evaluate', asked, signal)) as Evaluated;
    if (result?.value !== pid) throw unavailable(`the inspector on port ${port} belongs to another process`);
    return (await recordProfile(remote, { durationMs, signal, deoptimise: true })).profile;
  } finally {
    if (wasOpen) remote?.close();
    else if (await closed(remote, pid, port)) onClosed();
  }
}

/** Closes the inspector through `remote`, or through a new connection. @returns whether the inspector is closed. */
async function closed(remote: RemoteInspector | undefined, pid: number, port: number): Promise<boolean> {
  if (remote === undefined) return await closeInspector({ pid, port, withinMs: CLOSE_WITHIN_MS });
  return (await closeThrough(remote, pid)) && (await inspectorUrl(port)) === undefined;
}

/** Sends SIGUSR1, but only to Node, because other programs may die of the signal. */
function openInspector(pid: number, onSignal: () => void): void {
  let status: string;
  try {
    status = readFileSync(`/proc/${pid}/status`, 'latin1');
  } catch (cause) {
    throw unavailable(`there is no process ${pid}, or this is not Linux`, cause);
  }
  const caught = BigInt(`0x${/^SigCgt:\s*([\da-f]+)$/m.exec(status)?.[1] ?? '0'}`);
  if ((caught & SIGUSR1_BIT) === 0n) {
    throw unavailable(
      `process ${pid} does not catch SIGUSR1: it is not Node, or was started with --disable-sigusr1`,
    );
  }
  const executable = executableOf(pid);
  if (!isNode(executable)) throw unavailable(`process ${pid} is not Node: it runs ${executable}`);
  onSignal();
  try {
    process.kill(pid, 'SIGUSR1');
  } catch (cause) {
    throw unavailable(`process ${pid} cannot be signalled`, cause);
  }
}

function executableOf(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/exe`).replace(/ \(deleted\)$/, ''); // after an update of Node
  } catch (cause) {
    throw unavailable(`process ${pid} belongs to another user`, cause);
  }
}

/** Recognizes Node by its name (`node`, `nodejs`, `node-22`), or because this process runs the same executable. */
const isNode = (executable: string): boolean =>
  /^node(js)?([-_.]?v?\d[\w.]*)?$/.test(basename(executable)) || executable === process.execPath;

const SIGUSR1_BIT = 1n << 9n; // signal 10, counted from 1

async function untilOpen(port: number, pid: number, signal: AbortSignal): Promise<string> {
  for (
    const until = performance.now() + OPEN_WITHIN_MS;
    performance.now() < until;
    await after(50, undefined, { signal }).catch(() => signal.throwIfAborted())
  ) {
    const url = await inspectorUrl(port);
    if (url !== undefined) return url;
  }
  throw unavailable(
    `process ${pid} opened no inspector on port ${port} within ${OPEN_WITHIN_MS / 1000} s: is it in native code?`,
  );
}

const unavailable = (why: string, cause?: unknown): DiagnosticsError =>
  new DiagnosticsError('DIAGNOSTICS_UNAVAILABLE', why, { cause });
