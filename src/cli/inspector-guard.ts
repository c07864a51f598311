/**
 * The second process of `profile --pid`. It closes the inspector when `profile` ends, even if `profile` is killed.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import type { Terminal } from './terminal.ts';

/** The argument that starts `etcd-election` as an inspector guard. */
export const INSPECTOR_GUARD = '__inspector-guard';

/** How long to wait for the inspector to open. A process that is in native code opens it only after that code returns. */
const OPENS_WITHIN_MS = 10 * 60_000;

/** Waits until the pipe ends, then closes the inspector. Any input means that the inspector is already closed. */
export async function guardInspector(pid: number, port: number, pipe: NodeJS.ReadableStream): Promise<void> {
  process.title = 'etcd-election inspector guard';
  for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(name, () => undefined);
  let word = '';
  for await (const text of pipe) word += String(text);
  if (word !== '') return;
  const { closeInspector } = await import('etcd-election/diagnostics');
  await closeInspector({ pid, port, withinMs: OPENS_WITHIN_MS });
}

/** Starts the guard. @returns undefined, and starts nothing, if another program runs this code. */
export function startInspectorGuard(pid: number, port: number, { self }: Terminal): ChildProcess | undefined {
  if (self === undefined) return undefined;
  const guard = spawn(process.execPath, [self, INSPECTOR_GUARD, String(pid), String(port)], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  guard.on('error', () => undefined);
  guard.stdin?.on('error', () => undefined);
  guard.unref();
  return guard;
}
