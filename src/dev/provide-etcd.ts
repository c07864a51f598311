import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { untilAny } from '../util/abort.ts';
import { type ComposedEtcd, composeEtcd } from './compose.ts';
import { type EtcdCluster, type StartEtcdOptions, startEtcd } from './etcd-server.ts';
import { EtcdNotFoundError, findHere, notHere } from './find-etcd.ts';

interface Provided extends AsyncDisposable {
  /** Client URLs. */
  readonly endpoints: string[];
  /** Ends what `provideEtcd()` has started. An etcd that ran before continues. */
  stop(): Promise<void>;
}

/**
 * An etcd to work with. If `managed` is true, you can kill, freeze and restart its processes through `cluster`.
 */
export type ProvidedEtcd =
  | (Provided & { readonly managed: true; readonly cluster: EtcdCluster })
  | (Provided & { readonly managed: false });

/**
 * Reads `ETCD_ENDPOINTS` from the environment: one or more client URLs, separated by commas. `http://` may be left out,
 * as in `127.0.0.1:2379`.
 *
 * @returns `undefined` if the variable is empty or not set.
 * @throws {TypeError} if an entry is not a URL, or has a path.
 */
export function findEndpoints(env: NodeJS.ProcessEnv = process.env): string[] | undefined {
  const endpoints = (env['ETCD_ENDPOINTS'] ?? '').split(',').flatMap((text) => {
    const endpoint = text.trim();
    if (endpoint === '') return [];
    const bare = endpoint.replace(/\/+$/, ''); // gRPC does not understand a slash at the end
    const url = /^https?:\/\//.test(bare) ? bare : `http://${bare}`;
    if (!URL.canParse(url) || new URL(url).pathname !== '/')
      throw new TypeError(
        `ETCD_ENDPOINTS: not a URL of etcd: ${endpoint} (expected, for example, http://127.0.0.1:2379)`,
      );
    return [url];
  });
  return endpoints.length === 0 ? undefined : endpoints;
}

/**
 * Provides an etcd from the first of these sources that has one:
 *
 * 1. the etcd that `ETCD_ENDPOINTS` names (not managed);
 * 2. a process, from the `etcd` on the `PATH` or in `.etcd/`;
 * 3. a container, from this package's docker-compose.yml, if a Docker engine answers (not managed; one member);
 * 4. a process, from Debian's package, which is fetched into `.etcd/`.
 *
 * If a container does not start, the search goes on. If a process does not start, the search ends. The search also ends
 * if no endpoint of `ETCD_ENDPOINTS` accepts a connection within 5 s.
 *
 * @param options apply to an etcd process. `signal` also ends the search.
 * @throws {EtcdNotFoundError} if no source works. The message names the ways to get an etcd.
 * @throws {EtcdStartError} if a process does not start.
 * @throws {unknown} the reason of the signal, if it aborts.
 */
export async function provideEtcd(options: StartEtcdOptions = {}): Promise<ProvidedEtcd> {
  const named = findEndpoints();
  if (named !== undefined) {
    await untilOneAccepts(named, options.signal);
    return unmanaged({ endpoints: named, stop: async () => {} });
  }
  if (options.binary !== undefined || (await findHere('etcd')) !== undefined)
    return managed(await startEtcd(options));
  const composed = await composeEtcd(options.signal).catch((error: Error) => error);
  if (composed === undefined || composed instanceof Error) options.signal?.throwIfAborted();
  if (composed !== undefined && !(composed instanceof Error)) return unmanaged(composed);
  try {
    return managed(await startEtcd(options));
  } catch (error) {
    if (!(error instanceof EtcdNotFoundError)) throw error;
    const tried = composed === undefined ? [error] : [composed, error];
    const otherWays = 'Or set ETCD_ENDPOINTS to an etcd that runs. Or start Docker.';
    throw new EtcdNotFoundError(`${notHere('etcd')} ${otherWays}`, tried);
  }
}

/** How long the etcd in `ETCD_ENDPOINTS` may take to accept a connection, in milliseconds. It may just be starting. */
const ACCEPTS_WITHIN_MS = 5_000;
const TRY_EVERY_MS = 100;

/** @throws {EtcdNotFoundError} if no endpoint accepts a connection in time. */
async function untilOneAccepts(endpoints: readonly string[], stop: AbortSignal | undefined): Promise<void> {
  const over = new AbortController();
  const ends = [over.signal, AbortSignal.timeout(ACCEPTS_WITHIN_MS), ...(stop === undefined ? [] : [stop])];
  try {
    await untilAny(ends, (signal) =>
      Promise.any(endpoints.map((endpoint) => untilAccepted(endpoint, signal))).finally(() => over.abort()),
    );
  } catch {
    stop?.throwIfAborted();
    const tried = new Error(
      `ETCD_ENDPOINTS: ${endpoints.join(', ')} accepted no connection within ${ACCEPTS_WITHIN_MS / 1_000} s`,
    );
    throw new EtcdNotFoundError(
      'no etcd answers at ETCD_ENDPOINTS. Start it, or unset ETCD_ENDPOINTS to use another etcd.',
      [tried],
    );
  }
}

async function untilAccepted(endpoint: string, signal: AbortSignal): Promise<void> {
  while (!(await accepts(endpoint, signal))) await sleep(TRY_EVERY_MS, undefined, { signal });
}

function accepts(endpoint: string, signal: AbortSignal): Promise<boolean> {
  const { hostname, port } = new URL(endpoint.replace(/^https?:/, 'tcp:')); // URL omits port 80 if the scheme is http
  const socket = connect({ host: hostname.replace(/^\[|\]$/g, ''), port: Number(port || 443) }); // gRPC's default port
  return new Promise((resolve) => {
    const settle = (accepted: boolean): void => {
      signal.removeEventListener('abort', giveUp);
      socket.destroy();
      resolve(accepted);
    };
    const giveUp = (): void => settle(false);
    signal.addEventListener('abort', giveUp);
    socket.on('error', giveUp);
    socket.once('connect', () => settle(true));
  });
}

function managed(cluster: EtcdCluster): ProvidedEtcd {
  const stop = (): Promise<void> => cluster.stop();
  return { managed: true, cluster, endpoints: cluster.endpoints, stop, [Symbol.asyncDispose]: stop };
}

function unmanaged(etcd: ComposedEtcd): ProvidedEtcd {
  const stop = (): Promise<void> => etcd.stop();
  return { managed: false, endpoints: etcd.endpoints, stop, [Symbol.asyncDispose]: stop };
}
