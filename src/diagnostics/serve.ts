import { BlockList, isIP } from 'node:net';
import { hostname } from 'node:os';
import { isObject } from '../core/shown.ts';
import { above, callback, only, optional, secret, text, whole, type Values } from '../util/option-fields.ts';
import { DiagnosticsError } from './errors.ts';
import { closeHost, openHost, runningHost, type SharedHost } from './watchdog/watchdog.ts';
import { type WatchdogOptions, parseOptions } from './watchdog/watchdog-options.ts';

export interface HandlerOptions {
  /**
   * Token that every path except `/healthz` requires, in `Authorization: Bearer <token>` or as the password of Basic
   * authentication (for browsers and `go tool pprof`). At least 16 printable ASCII characters, without spaces. Default: no
   * token.
   */
  token?: string | undefined;
  /**
   * Host names that a request may use, without scheme and port. `localhost`, the machine's name and IP addresses are always
   * allowed. Other names are refused, because a web page could point its own name at this server (DNS rebinding). Default:
   * none.
   */
  allowedHosts?: readonly string[] | undefined;
  /** Longest profile that a request may ask for, in seconds. Default: 60. Above 0, at most 600. */
  maxSeconds?: number | undefined;
  /** Returns the text of `/metrics` in Prometheus' format, such as `() => register.metrics()`. Default: none. */
  metrics?: (() => string | Promise<string>) | undefined;
}

export interface ReadHandlerOptions extends HandlerOptions {
  readonly allowedHosts: readonly string[];
  readonly maxSeconds: number;
}

export interface ServeOptions extends HandlerOptions {
  /** Port to listen on. Default: 6161. 0 takes any free port. */
  port?: number | undefined;
  /** Address to listen on. Default: `127.0.0.1`. An address that is not loopback needs a `token`. */
  host?: string | undefined;
  /** Options of the watchdog that `serveDiagnostics` starts. If a watchdog is already running, do not set this option. */
  watchdog?: WatchdogOptions | undefined;
}

export interface DiagnosticsServer extends AsyncDisposable {
  /** `http://127.0.0.1:6161` */
  readonly url: string;
  readonly port: number;
  /** What is unavailable here, and why. */
  readonly notes: readonly string[];
  /**
   * Stops serving. The last server to close also stops the watchdog, unless `startWatchdog()` started it. May be called
   * again.
   */
  close(): Promise<void>;
}

const isHostName = (value: unknown): boolean =>
  typeof value === 'string' && (isIP(value) !== 0 || /^[^\s:/@[\]]+$/.test(value));

const handlerShape = {
  // A token with other characters, such as a line break at its end, would match no request.
  token: secret(
    optional<string>(
      'at least 16 printable ASCII characters, without spaces',
      (value) => typeof value === 'string' && /^[\x21-\x7e]{16,}$/.test(value),
    ),
  ),
  allowedHosts: optional<readonly string[]>(
    'an array of host names, without scheme and port',
    (value) => Array.isArray(value) && value.every(isHostName),
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
 * Serves profiles, the state of the elections and metrics over HTTP, under the paths of Go's `net/http/pprof`. Begin at
 * `/debug/pprof/`. The server runs in the worker of the watchdog, so **it answers while the main thread spins**. It does not
 * keep the process alive.
 *
 * @throws {DiagnosticsError} DIAGNOSTICS_INVALID if an option is not valid, or if an address that is not loopback has no
 *   `token`; DIAGNOSTICS_UNAVAILABLE if the port is not available, or no worker can be started; DIAGNOSTICS_NO_ANSWER if
 *   the worker ends before it answers.
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
      'watchdog: a watchdog is already running; give these options to startWatchdog',
    );
  }
  const worker = shared ?? openHost(watchdog ?? {});
  worker.users++;
  try {
    const hosts = [...allowedHosts, host.toLowerCase()];
    const opened = await worker.serve({ host, token, allowedHosts: hosts, maxSeconds, port }, metrics);
    const bound = opened.port;
    let closed: Promise<void> | undefined;
    const close = (): Promise<void> => (closed ??= worker.unserve(opened.server).then(() => leave(worker)));
    const url = `http://${isIP(host) === 6 ? `[${host}]` : host}:${bound}`;
    return { url, port: bound, notes: worker.notes, close, [Symbol.asyncDispose]: close };
  } catch (error) {
    await leave(worker);
    throw error;
  }
}

/**
 * Stops the worker when no user is left. `startWatchdog()` counts as a user that never leaves. The watchdog's own `close()`
 * stops the worker, whatever the count.
 */
async function leave(worker: SharedHost): Promise<void> {
  if (--worker.users === 0) await closeHost(worker);
}

/** @throws {DiagnosticsError} DIAGNOSTICS_INVALID if an option is not valid. */
export const readHandlerOptions = (options: HandlerOptions): ReadHandlerOptions =>
  withOwnName(parseOptions(handlerFields, options));

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

/** A name other than `localhost` does not count as loopback, because it could resolve to any address. */
function isLoopback(host: string): boolean {
  const version = isIP(host);
  return version === 0 ? host === 'localhost' : loopback.check(host, version === 6 ? 'ipv6' : 'ipv4');
}
