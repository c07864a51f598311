import { DiagnosticsError, messageOf } from '../errors.ts';
import type { ElectionSource } from '../elections.ts';
import { ownElections } from '../own-elections.ts';
import type { RunawayReport } from '../evidence/report.ts';
import { shared } from '../../loop-guard/registry.ts';
import type { LedTerm } from './led-terms.ts';
import { type WatchdogOptions, readWatchdogOptions } from './watchdog-options.ts';
import { WorkerHost } from './worker-host.ts';

/** A running watchdog: see `startWatchdog`. */
export interface Watchdog extends AsyncDisposable {
  /** What is unavailable here, and why, for example because of a missing permission or a debugger. */
  readonly notes: readonly string[];
  /** The last reports that `WatchdogOptions.onRunaway` gets, newest first. At most 20. */
  readonly runaways: readonly RunawayReport[];
  /** The last reports that `WatchdogOptions.onNotice` gets, newest first. At most 20. */
  readonly notices: readonly RunawayReport[];
  /** Resolves when the worker watches, 75–250 ms after the start, or if the worker dies first. */
  ready(): Promise<void>;
  /** Stops watching and serving. Leaves no timer, socket, listener or thread. May be called again. */
  close(): Promise<void>;
}

/**
 * Watches the main thread from a worker thread until `close()` is called. If the main thread runs away, the worker records a
 * CPU profile *while the main thread spins*. It writes the evidence into a folder, and one line to stderr: see
 * {@link WatchdogOptions} and {@link RunawayReport}.
 *
 * The watchdog costs 6–16 MB of memory and less than 0.2 % of a core. It does not keep the process alive. A worker that dies
 * is started again after 1 s. This pause doubles every time, up to 5 minutes.
 *
 * Published on `diagnostics_channel`: `etcd-election:runaway` with every report for `onRunaway`,
 * `etcd-election:watchdog.notice` with every report for `onNotice`, `etcd-election:runaway.ended` when a `starved` or `hot` runaway is over,
 * `etcd-election:watchdog.died` and `etcd-election:watchdog.restarted`.
 *
 * @throws {DiagnosticsError} DIAGNOSTICS_INVALID if an option is not valid; DIAGNOSTICS_UNAVAILABLE if this process already
 *   has a watchdog, if this is not the main thread, or if worker threads are not permitted.
 */
export function startWatchdog(options: WatchdogOptions = {}): Watchdog {
  const host = openHost(options);
  host.users++;
  return {
    notes: host.notes,
    runaways: host.runaways,
    notices: host.notices,
    ready: () => host.whenReady(),
    close: () => closeHost(host),
    [Symbol.asyncDispose]: () => closeHost(host),
  };
}

/**
 * The part of a host that all loaded copies of this package use. A copy of another version may have started the host. So a later
 * version may add members, arguments and results, but must keep these, and must not need what it adds.
 */
export type SharedHost = Pick<
  WorkerHost,
  'notes' | 'runaways' | 'notices' | 'users' | 'whenReady' | 'serve' | 'unserve' | 'close'
>;

/** All loaded copies share one watchdog, because every watchdog would profile the same runaway, and so prolong it. */
const only = shared<{ host: SharedHost | undefined }>('watchdog', '', () => ({ host: undefined }));

/** The host of the running watchdog, which `serveDiagnostics` shares. */
export const runningHost = (): SharedHost | undefined => only.host;

export function openHost(options: WatchdogOptions): SharedHost {
  const { settings, callbacks, stepDown, elections = ownElections } = readWatchdogOptions(options);
  const { onRunaway, onNotice } = callbacks;
  if (only.host !== undefined) {
    throw new DiagnosticsError(
      'DIAGNOSTICS_UNAVAILABLE',
      'a watchdog is already running in this process; close it first',
    );
  }
  const host = new WorkerHost({
    settings,
    source: elections,
    onRunaway(report, terms) {
      if (stepDown && report.verdict === 'hot') stepDownFrom(elections, terms);
      if (onRunaway !== undefined) warnOf('onRunaway', () => onRunaway(report));
    },
    onNotice(report) {
      if (onNotice !== undefined) warnOf('onNotice', () => onNotice(report));
    },
  });
  only.host = host;
  return host;
}

/** Steps down from these terms only. A term that began after the runaway was noticed continues. */
function stepDownFrom(source: ElectionSource, terms: readonly LedTerm[]): void {
  const nameOf = (election: string, fencingToken: string): string => JSON.stringify([election, fencingToken]);
  const led = new Set(terms.map(({ name, fencingToken }) => nameOf(name, fencingToken)));
  for (const election of source.elections()) {
    const { term } = election.status;
    if (term !== undefined && led.has(nameOf(election.name, String(term.fencingToken))))
      warnOf('stepDown', () => election.stepDown());
  }
}

export async function closeHost(host: SharedHost): Promise<void> {
  try {
    await host.close();
  } finally {
    if (only.host === host) only.host = undefined;
  }
}

/** Runs a callback of the service. If it throws or rejects, the process continues. */
function warnOf(what: string, run: () => unknown): void {
  const warn = (error: unknown): void =>
    process.emitWarning(`${what} of the watchdog failed: ${messageOf(error)}`, {
      code: 'ETCD_ELECTION_WATCHDOG',
    });
  try {
    void Promise.resolve(run()).catch(warn);
  } catch (error) {
    warn(error);
  }
}
