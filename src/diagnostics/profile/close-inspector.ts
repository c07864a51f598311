import { setTimeout as after } from 'node:timers/promises';
import { inspectorUrl, RemoteInspector } from './remote-inspector.ts';

export interface CloseInspectorOptions {
  /** The process whose inspector was opened with SIGUSR1. */
  readonly pid: number;
  /** How long to try, in milliseconds. A process in native code opens its inspector only after that code returns. */
  readonly withinMs: number;
  /** Port of the inspector. Default: 9229, as in Node. */
  readonly port?: number | undefined;
}

const LOOK_EVERY_MS = 100;
const ANSWER_WITHIN_MS = 2_000;

/**
 * Closes the inspector of a process as soon as the inspector is open. Never closes the inspector of another process.
 *
 * @returns whether the inspector was open and is closed now.
 */
export async function closeInspector({
  pid,
  withinMs,
  port = 9229,
}: CloseInspectorOptions): Promise<boolean> {
  for (const untilMs = performance.now() + withinMs; performance.now() < untilMs;) {
    // Wait before the first try too. A killed recorder may have left a connection that must end first: see `closeThrough`.
    await after(LOOK_EVERY_MS);
    const url = await inspectorUrl(port);
    const remote = url && (await RemoteInspector.connect(url).catch(() => undefined));
    if (remote && (await closeThrough(remote, pid)) && (await inspectorUrl(port)) === undefined) return true;
  }
  return false;
}

/**
 * Closes the inspector through a connection to it. **No other connection may be open, or about to close**: Node 20 can
 * crash if its inspector closes while another session ends.
 *
 * @returns whether the process confirmed the order in time, or closed the connection.
 */
export async function closeThrough(remote: RemoteInspector, pid: number): Promise<boolean> {
  const order = `process.pid === ${pid} && process.getBuiltinModule('node:inspector').close()`;
  // The order may close the connection before its answer arrives.
  const obeyed = remote.evaluate(order).then(
    (answer) => answer !== false,
    () => true,
  );
  const obeyedInTime = await Promise.race([obeyed, after(ANSWER_WITHIN_MS, false, { ref: false })]);
  remote.close();
  return obeyedInTime;
}
