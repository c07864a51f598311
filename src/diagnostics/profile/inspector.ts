import type { Session } from 'node:inspector';
import { DiagnosticsError } from '../errors.ts';

/**
 * Returns why this process cannot take a profile, or undefined if it can.
 *
 * Call this on the main thread, because our worker does not see `process.permission`. If a worker without the permission
 * connected to the main thread, an assertion in Node's C++ would abort the whole process.
 */
export function whyNoProfile(): string | undefined {
  const { permission } = process as { permission?: { has(scope: string): boolean } };
  if (permission && !permission.has('inspector')) {
    return "Node's permission model forbids the inspector: start with --allow-inspector (Node 24), or without --permission";
  }
  return inspectorModule() === undefined ? 'this Node was built without the inspector' : undefined;
}

/**
 * Connects to the main thread from a worker (`main`), or to the calling thread (`own`). The caller disconnects the session.
 *
 * @param reason the result of `whyNoProfile` on the main thread.
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

/** Not imported, because `import 'node:inspector'` would end a service whose Node was built without the inspector. */
function inspectorModule(): typeof import('node:inspector') | undefined {
  try {
    return process.getBuiltinModule('node:inspector');
  } catch {
    return undefined;
  }
}
