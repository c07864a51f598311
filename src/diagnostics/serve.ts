import { BlockList, isIP } from 'node:net';
import { hostname } from 'node:os';
import { isObject } from '../core/shown.ts';
import { above, callback, only, optional, secret, text, whole, type Values } from '../util/option-fields.ts';
import { DiagnosticsError } from './errors.ts';
import { closeHost, openHost, runningHost } from './watchdog/watchdog.ts';
import { type WatchdogOptions, parseOptions } from './watchdog/watchdog-options.ts';

export interface HandlerOptions {
  /**
   * Asked for in `Authorization: Bearer <token>`, or as the password of Basic authentication (which browsers and
   * `go tool pprof` know), by everything but `/healthz`. At least 16 characters. Default: none is asked for.
   */
  token?: string | undefined;
  /**
   * Names under which it may be called, beyond `localhost`, the machine's own name and any IP address. A call under
   * another name is refused: a web page could have got it to point here (DNS rebinding). Default: none.
   */
  allowedHosts?: readonly string[] | undefined;
  /** Longest profile that may be asked for, in seconds. Default: 60. Above 0, at most 600. */
  maxSeconds?: number | undefined;
  /** What `/metrics` shows, in Prometheus' text format, for example `() => register.metrics()`. Default: `/metrics` is 404. */
  metrics?: (() => string | Promise<string>) | undefined;
}

export interface ReadHandlerOptions extends HandlerOptions {
  readonly allowedHosts: readonly string[];
  readonly maxSeconds: number;
}

export interface ServeOptions extends HandlerOptions {
  /** Default: 6161. 0 takes any that is free. */
  port?: number | undefined;
  /** Address to listen on. Default: `127.0.0.1`. Any that is not loopback needs a `token`. */
  host?: string | undefined;
  /** For the watchdog that is started along, unless one runs already. */
  watchdog?: WatchdogOptions | undefined;
}

export interface DiagnosticsServer extends AsyncDisposable {
  /** `http://127.0.0.1:6161` */
  readonly url: string;
  readonly port: number;
  /** What cannot be done here, and why. */
  readonly notes: readonly string[];
  /** Stops serving; stops watching too if this server started the watchdog. May be called again. */
  close(): Promise<void>;
}

const handlerShape = {
  token: secret(text(16, undefined)),
  allowedHosts: optional<readonly string[]>(
    'an array of names',
    (value) => Array.isArray(value) && value.every((name) => typeof name === 'string' && name !== ''),
  ),
  maxSeconds: above(0, 600, 60),
  metrics: callback<() => string | Promise<string>>(),
} as const;

const handlerFields = only(handlerShape);

const serveFields = only({
  ...handlerShape,
  port: whole(0, 65_535, 6161),
  host: text(1, '127.0.0.1'),
  watchdog: optional<WatchdogOptions>('an object', isObject),
});

const withOwnName = <T extends Pick<Values<typeof handlerFields>, 'allowedHosts'>>(options: T) => ({
  ...options,
  allowedHosts: [...(options.allowedHosts ?? []), hostname()].map((name) => name.toLowerCase()),
});

/**
 * Serves profiles, the state of the elections and metrics over HTTP, under the paths that Go's `net/http/pprof` made
 * known, from the watchdog's worker: **it answers while the main thread spins**. Begin at `/debug/pprof/`.
 * It does not keep the process alive.
 *
 * @throws {DiagnosticsError} DIAGNOSTICS_INVALID for an option that is not valid, such as an address that is not
 *   loopback without a token; DIAGNOSTICS_UNAVAILABLE if the port cannot be had or there can be no worker.
 */
export async function serveDiagnostics(options: ServeOptions = {}): Promise<DiagnosticsServer> {
  const { port, host, token, allowedHosts, maxSeconds, metrics, watchdog } = withOwnName(
    parseOptions(serveFields, options),
  );
  if (token === undefined && !isLoopback(host)) {
    throw new DiagnosticsError(
      'DIAGNOSTICS_INVALID',
      `host: ${host} can be reached from elsewhere: give a token, or listen on 127.0.0.1`,
    );
  }
  const shared = runningHost();
  if (shared !== undefined && watchdog !== undefined) {
    throw new DiagnosticsError(
      'DIAGNOSTICS_INVALID',
      'watchdog: one runs already; give its options to startWatchdog',
    );
  }
  const worker = shared ?? openHost(watchdog ?? {});
  const close = async (): Promise<void> => (shared === undefined ? closeHost(worker) : worker.unserve());
  worker.metrics = metrics;
  try {
    const hosts = [...allowedHosts, host.toLowerCase()];
    const settings = { host, token, allowedHosts: hosts, maxSeconds, hasMetrics: metrics !== undefined };
    const bound = await worker.serve({ ...settings, port });
    const url = `http://${isIP(host) === 6 ? `[${host}]` : host}:${bound}`;
    return { url, port: bound, notes: worker.notes, close, [Symbol.asyncDispose]: close };
  } catch (error) {
    if (shared === undefined) await closeHost(worker);
    throw error;
  }
}

/** @throws {DiagnosticsError} DIAGNOSTICS_INVALID, naming the option and what was expected. */
export const readHandlerOptions = (options: HandlerOptions): ReadHandlerOptions =>
  withOwnName(parseOptions(handlerFields, options));

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

/** `localhost` is taken at its word; any other name may resolve to anything. */
function isLoopback(host: string): boolean {
  const version = isIP(host);
  return version === 0 ? host === 'localhost' : loopback.check(host, version === 6 ? 'ipv6' : 'ipv4');
}
