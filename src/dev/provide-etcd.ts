import { type ComposedEtcd, composeEtcd } from './compose.ts';
import { type EtcdCluster, type StartEtcdOptions, startEtcd } from './etcd-server.ts';
import { EtcdNotFoundError, findHere } from './find-etcd.ts';

interface Provided extends AsyncDisposable {
  /** Client URLs. */
  readonly endpoints: string[];
  /** Ends everything that this call started. An etcd that ran before keeps running. */
  stop(): Promise<void>;
}

/**
 * An etcd to work with. If `managed` is true, it consists of processes that you can kill, freeze and restart through
 * `cluster`.
 */
export type ProvidedEtcd =
  | (Provided & { readonly managed: true; readonly cluster: EtcdCluster })
  | (Provided & { readonly managed: false });

/**
 * Reads `ETCD_ENDPOINTS` from the environment: one or more client URLs, separated by commas. `http://` may be left out,
 * as in `127.0.0.1:2379`.
 *
 * @returns `undefined` if the variable is empty or not set.
 * @throws {TypeError} if one of them is not a URL.
 */
export function findEndpoints(env: NodeJS.ProcessEnv = process.env): string[] | undefined {
  const endpoints = (env['ETCD_ENDPOINTS'] ?? '').split(',').flatMap((text) => {
    const endpoint = text.trim();
    if (endpoint === '') return [];
    const url = /^https?:\/\//.test(endpoint) ? endpoint : `http://${endpoint}`;
    if (!URL.canParse(url)) throw new TypeError(`ETCD_ENDPOINTS: not a URL: ${endpoint}`);
    return [url];
  });
  return endpoints.length === 0 ? undefined : endpoints;
}

/**
 * Provides an etcd from the first of these sources that works:
 *
 * 1. the etcd that `ETCD_ENDPOINTS` names (not managed);
 * 2. a process, from an `etcd` on the `PATH` or one fetched earlier into `.etcd/`;
 * 3. a container, from this package's docker-compose.yml, if a Docker engine answers (not managed; one member);
 * 4. a process, from Debian's package, which is fetched into `.etcd/`.
 *
 * @param options are used if a process is started.
 * @throws {EtcdNotFoundError} if no source works. Its message names the ways to get an etcd.
 * @throws {EtcdStartError} if an etcd was found but does not start.
 */
export async function provideEtcd(options: StartEtcdOptions = {}): Promise<ProvidedEtcd> {
  const named = findEndpoints();
  if (named !== undefined) return unmanaged({ endpoints: named, stop: async () => {} });
  if (options.binary !== undefined || (await findHere('etcd')) !== undefined)
    return managed(await startEtcd(options));
  const composed = await composeEtcd().catch((error: Error) => error);
  if (composed !== undefined && !(composed instanceof Error)) return unmanaged(composed);
  try {
    return managed(await startEtcd(options));
  } catch (error) {
    if (!(error instanceof EtcdNotFoundError)) throw error;
    throw composed === undefined ? error : new EtcdNotFoundError('etcd', [composed, error]);
  }
}

function managed(cluster: EtcdCluster): ProvidedEtcd {
  const stop = (): Promise<void> => cluster.stop();
  return { managed: true, cluster, endpoints: cluster.endpoints, stop, [Symbol.asyncDispose]: stop };
}

function unmanaged(etcd: ComposedEtcd): ProvidedEtcd {
  const stop = (): Promise<void> => etcd.stop();
  return { managed: false, endpoints: etcd.endpoints, stop, [Symbol.asyncDispose]: stop };
}
