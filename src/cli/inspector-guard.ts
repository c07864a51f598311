/**
 * The second process of `profile --pid`: closes the inspector that was opened, however `profile` ends, and however late
 * it opens: that of a process in native code opens only when it leaves that.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import type { Terminal } from './terminal.ts';

/** The word that makes an inspector guard of the command `etcd-election`. */
export const INSPECTOR_GUARD = '__inspector-guard';

/** How long an inspector may take to open at the latest, in milliseconds. */
const WAIT_MS = 10 * 60_000;

/** Waits for the end of the pipe; a word before it means that all is closed. */
export async function guardInspector(pid: number, port: number, pipe: NodeJS.ReadableStream): Promise<void> {
  process.title = 'etcd-election inspector guard';
  for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(name, () => undefined);
  let word = '';
  for await (const text of pipe) word += String(text);
  if (word !== '') return;
  const { closeInspector } = await import('etcd-election/diagnostics');
  await closeInspector({ pid, port, withinMs: WAIT_MS });
}

/** @returns undefined if this is not the command's own process: then nothing is started. */
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
