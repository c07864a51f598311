import { readFileSync } from 'node:fs';
import { get } from 'node:http';
import { setTimeout as after } from 'node:timers/promises';
import { followed } from '../abort.ts';
import { checkSignal } from './capture-profile.ts';
import type { CpuProfile } from './cpu-profile.ts';
import { DiagnosticsError } from './errors.ts';
import { type Inspected, recordProfile } from './record-profile.ts';
import { WebSocketText } from './websocket.ts';

export interface CaptureProcessOptions {
  /** The process: Node's, on this machine, of this user. */
  pid: number;
  /** How long to record, in seconds. Default: 30. Above 0, at most 600. */
  seconds?: number | undefined;
  /** Ends the recording; the call then rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
  /** Port of its inspector. Default: 9229, Node's own default. */
  port?: number | undefined;
}

/** How long the inspector may take to open. */
const OPEN_WITHIN_MS = 5_000;

/**
 * Records a CPU profile of another process that was not prepared for it, also while its main thread spins. Linux only.
 *
 * Its inspector is opened with SIGUSR1 and closed afterwards; meanwhile everybody on this machine can attach to it. A
 * service with a SIGUSR1 handler of its own runs that handler instead, and opens none.
 *
 * @throws {RangeError} if `seconds` is out of range.
 * @throws {TypeError} if `signal` is no signal.
 * @throws {DiagnosticsError} DIAGNOSTICS_UNAVAILABLE if that process is not there, is not ours, would die of the signal,
 *   or opens no inspector.
 */
export async function captureProcess(options: CaptureProcessOptions): Promise<CpuProfile> {
  const { pid, seconds = 30, signal, port = 9229 } = options;
  if (!(seconds > 0 && seconds <= 600))
    throw new RangeError(`seconds: expected above 0, at most 600, got ${seconds}`);
  checkSignal(signal);
  const over = followed(signal);
  over.signal.throwIfAborted();
  try {
    return await captureFrom(pid, { durationMs: seconds * 1000, port, signal: over.signal });
  } finally {
    over.off();
  }
}

async function captureFrom(
  pid: number,
  { durationMs, port, signal }: { durationMs: number; port: number; signal: AbortSignal },
): Promise<CpuProfile> {
  const wasOpen = (await inspectorUrl(port)) !== undefined;
  if (!wasOpen) openInspector(pid);
  const remote = await RemoteInspector.connect(await untilOpen(port, pid, signal));
  try {
    if ((await remote.evaluate('process.pid')) !== pid) {
      throw unavailable(`the inspector on port ${port} belongs to another process`);
    }
    return (await recordProfile(remote, { durationMs, signal, deoptimise: true })).profile;
  } finally {
    // Not awaited: it closes the very connection that its answer would come over.
    if (!wasOpen) void remote.evaluate("process.getBuiltinModule('node:inspector').close()").catch(() => {});
    await after(wasOpen ? 0 : 100); // let it reach the other side
    remote.close();
  }
}

/** SIGUSR1 ends a process that does not catch it: sent only to one that does. */
function openInspector(pid: number): void {
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
  try {
    process.kill(pid, 'SIGUSR1');
  } catch (cause) {
    throw unavailable(`process ${pid} may not be signalled`, cause);
  }
}

const SIGUSR1_BIT = 1n << 9n; // signal 10, counted from 1

async function untilOpen(port: number, pid: number, signal: AbortSignal): Promise<string> {
  for (
    const until = performance.now() + OPEN_WITHIN_MS;
    performance.now() < until;
    await after(50, undefined, { signal })
  ) {
    const url = await inspectorUrl(port);
    if (url !== undefined) return url;
  }
  throw unavailable(`process ${pid} opened no inspector on port ${port} within ${OPEN_WITHIN_MS / 1000} s`);
}

/** Where the inspector on that port can be talked to; undefined: there is none. */
function inspectorUrl(port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const asked = get(
      { host: '127.0.0.1', port, path: '/json/list', agent: false, timeout: 1_000 },
      (response) => {
        let text = '';
        response.on('data', (data: Buffer) => (text += data.toString()));
        response.on('end', () => resolve(/"webSocketDebuggerUrl":\s*"(ws:[^"]+)"/.exec(text)?.[1]));
      },
    );
    asked.on('timeout', () => asked.destroy());
    asked.on('error', () => resolve(undefined));
  });
}

/** An inspector in another process, as far as a recording needs it. */
class RemoteInspector implements Inspected {
  readonly #waiting = new Map<number, (error: Error | null, result?: object) => void>();
  #socket: WebSocketText | undefined;
  #lastId = 0;

  static async connect(url: string): Promise<RemoteInspector> {
    const remote = new RemoteInspector();
    remote.#socket = await WebSocketText.connect(url, remote.#receive, remote.#ended);
    return remote;
  }

  post(method: string, params?: object, done?: (error: Error | null, result?: object) => void): void {
    const id = ++this.#lastId;
    if (done !== undefined) this.#waiting.set(id, done);
    this.#socket?.send(JSON.stringify({ id, method, params }));
  }

  /** @returns the value of an expression in the other process. */
  evaluate(expression: string): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.post('Runtime.evaluate', { expression, returnByValue: true }, (error, result) => {
        if (error) reject(error);
        else resolve((result as { result?: { value?: unknown } }).result?.value);
      });
    });
  }

  close(): void {
    this.#socket?.close();
  }

  readonly #receive = (text: string): void => {
    const { id, result, error } = JSON.parse(text) as {
      id?: number;
      result?: object;
      error?: { message: string };
    };
    if (id === undefined) return;
    this.#waiting.get(id)?.(error === undefined ? null : new Error(error.message), result);
    this.#waiting.delete(id);
  };

  readonly #ended = (): void => {
    for (const done of this.#waiting.values()) done(new Error('the process closed its inspector, or ended'));
    this.#waiting.clear();
  };
}

const unavailable = (why: string, cause?: unknown): DiagnosticsError =>
  new DiagnosticsError('DIAGNOSTICS_UNAVAILABLE', why, { cause });
