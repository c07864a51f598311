import type { Session } from 'node:inspector';
import { DiagnosticsError } from '../errors.ts';

/**
 * Why no profile can be taken in this process, or undefined if it can.
 *
 * Asked on the main thread, before anything else: a worker that has no options of the command line sees no
 * `process.permission`, and connecting it to the main thread without the inspector permission aborts the whole process
 * (an assertion in Node's C++ that cannot be caught).
 */
export function whyNoProfile(): string | undefined {
  const { permission } = process as { permission?: { has(scope: string): boolean } };
  if (permission && !permission.has('inspector')) {
    return "Node's permission model is on without the inspector: start with --allow-inspector (Node 24), or without --permission";
  }
  return inspectorModule() === undefined ? 'this Node was built without the inspector' : undefined;
}

/**
 * @param target `main`: the process's main thread, seen from a worker; `own`: the calling thread.
 * @param reason what `whyNoProfile` said on the main thread.
 * @returns a connected session; the caller disconnects it.
 * @throws {DiagnosticsError} DIAGNOSTICS_UNAVAILABLE with the reason.
 */
export function connectInspector(target: 'main' | 'own', reason: string | undefined): Session {
  const inspector = reason === undefined ? inspectorModule() : undefined;
  if (inspector === undefined)
    throw new DiagnosticsError('DIAGNOSTICS_UNAVAILABLE', `no CPU profiles: ${reason}`);
  const session = new inspector.Session();
  try {
    if (target === 'main') session.connectToMainThread();
    else session.connect();
  } catch (cause) {
    throw new DiagnosticsError('DIAGNOSTICS_UNAVAILABLE', 'no CPU profile: the inspector refused', { cause });
  }
  return session;
}

/** Not imported: `import 'node:inspector'` throws where Node was built without it, and takes the service down. */
function inspectorModule(): typeof import('node:inspector') | undefined {
  try {
    return process.getBuiltinModule('node:inspector');
  } catch {
    return undefined;
  }
}
