import { DiagnosticsError, messageOf } from '../errors.ts';
import { ownElections } from '../own-elections.ts';
import type { RunawayReport } from '../evidence/report.ts';
import { type WatchdogOptions, readWatchdogOptions } from './watchdog-options.ts';
import { WorkerHost } from './worker-host.ts';

/** A running watchdog: see `startWatchdog`. */
export interface Watchdog extends AsyncDisposable {
  /** What it cannot do here, and why: a missing permission, a debugger. */
  readonly notes: readonly string[];
  /** The last reports, newest first. At most 20. */
  readonly runaways: readonly RunawayReport[];
  /** Resolves when the worker watches: 75–250 ms after the start. */
  ready(): Promise<void>;
  /** Stops watching and serving; afterwards no timer, socket, listener or thread of it is left. May be called again. */
  close(): Promise<void>;
}

/**
 * Watches the main thread from a worker thread, for as long as the process lives or until `close()`. It does not
 * keep the process alive. When the main thread runs away, the worker records a CPU profile *while it spins*, writes
 * the evidence into a folder, one line to stderr, and reports: see {@link WatchdogOptions} and {@link RunawayReport}.
 * Each report is published on `diagnostics_channel` as `etcd-election:runaway`, its end as `etcd-election:runaway.ended`.
 *
 * Costs 8–19 MB of memory and less than 0.2 % of a core.
 *
 * @throws {DiagnosticsError} DIAGNOSTICS_INVALID for an option that is not valid; DIAGNOSTICS_UNAVAILABLE if one runs
 *   already in this process, outside the main thread, or where worker threads are not permitted.
 */
export function startWatchdog(options: WatchdogOptions = {}): Watchdog {
  const host = openHost(options);
  return {
    notes: host.notes,
    runaways: host.runaways,
    ready: () => host.whenReady(),
    close: () => closeHost(host),
    [Symbol.asyncDispose]: () => closeHost(host),
  };
}

/** One main thread, one watchdog. */
let running: WorkerHost | undefined;

/** The one that runs; for `serveDiagnostics`, which shares it. */
export const runningHost = (): WorkerHost | undefined => running;

export function openHost(options: WatchdogOptions): WorkerHost {
  const { settings, onRunaway, stepDown, elections = ownElections } = readWatchdogOptions(options);
  if (running !== undefined) {
    throw new DiagnosticsError(
      'DIAGNOSTICS_UNAVAILABLE',
      'a watchdog runs in this process already; close it first',
    );
  }
  running = new WorkerHost({
    settings,
    source: elections,
    onRunaway(report) {
      // The guard holds such a loop back already, and stepping down would be one more round.
      if (stepDown && report.verdict !== 'rounds') {
        for (const election of elections.elections()) {
          if (election.status.state === 'leading') warnOf('stepDown', () => election.stepDown());
        }
      }
      if (onRunaway !== undefined) warnOf('onRunaway', () => onRunaway(report));
    },
  });
  return running;
}

export async function closeHost(host: WorkerHost): Promise<void> {
  try {
    await host.close();
  } finally {
    if (running === host) running = undefined;
  }
}

/** Runs what is not ours: neither its throw nor its rejection may take the service down. */
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
