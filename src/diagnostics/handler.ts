import type { IncomingMessage, ServerResponse } from 'node:http';
import { captureProfile } from './profile/capture-profile.ts';
import { snapshotOf } from './elections.ts';
import { reply } from './http/reply.ts';
import { ownElections } from './own-elections.ts';
import { type Routes, routes } from './http/routes.ts';
import { type HandlerOptions, readHandlerOptions } from './serve.ts';
import { runningHost } from './watchdog/watchdog.ts';

/** Fits `http.createServer`, `app.use()` of Express and Connect, and `reply.raw` of Fastify. */
export type DiagnosticsHandler = (
  request: IncomingMessage,
  response: ServerResponse,
  next?: () => void,
) => void;

/**
 * The pages of `serveDiagnostics`, as a handler for the service's own server. The handler runs on the main thread, so **it
 * cannot answer while that thread spins**. If the service can open another port, prefer `serveDiagnostics`.
 *
 * The handler answers `/debug/pprof…`, `/debug/election`, `/healthz`, and `/metrics` if `metrics` is given. It passes every
 * other request to `next`.
 *
 * ```ts
 * app.use('/ops', diagnosticsHandler()); // Express
 * http.createServer(diagnosticsHandler()); // Node
 * const handler = diagnosticsHandler({ prefix: '/ops' }); // Fastify
 * fastify.all('/ops/*', (request, reply) => { reply.hijack(); handler(request.raw, reply.raw); });
 * ```
 *
 * @param options `prefix`: the path of the handler, if the framework leaves this path in the URL (Fastify). Default: none.
 * @throws {DiagnosticsError} DIAGNOSTICS_INVALID if an option is not valid.
 */
export function diagnosticsHandler(
  options: HandlerOptions & { prefix?: string | undefined } = {},
): DiagnosticsHandler {
  const { prefix = '', ...rest } = options;
  const { token, allowedHosts, maxSeconds, metrics } = readHandlerOptions(rest);
  const answer = routes(
    {
      async profile(seconds, signal) {
        const takenAt = Date.now();
        return { profile: await captureProfile({ seconds, signal }), takenAt };
      },
      snapshot: () => Promise.resolve(snapshotOf(ownElections)),
      isTurning: () => Promise.resolve(true), // otherwise this code would not run
      hasMetrics: metrics !== undefined,
      metrics: async () => (await metrics?.()) ?? '',
      runaways: () => runningHost()?.runaways ?? [],
      notices: () => runningHost()?.notices ?? [],
    },
    { token, allowedHosts },
    maxSeconds,
  );
  // Without the option `metrics`, the path `/metrics` belongs to the service.
  const owned: Routes = (asked) =>
    metrics === undefined && asked.url.split('?', 1)[0] === '/metrics'
      ? Promise.resolve(undefined)
      : answer(asked);
  return (request, response, next) => {
    void reply(owned, request, response, next, prefix).catch(() => response.destroy());
  };
}
