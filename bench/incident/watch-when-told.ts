/**
 * Lets a process be watched once it has been measured: until it is told where the evidence is to go, nothing of the
 * watchdog is loaded, so its figures are its own.
 */
import type { RunawayReport } from 'etcd-election/diagnostics';

/** What the watched process tells. */
export interface Found {
  readonly runaway: RunawayReport;
}

export function watchWhenTold(): void {
  process.once('message', (directory: string) => void watch(directory));
}

async function watch(directory: string): Promise<void> {
  const { startWatchdog } = await import('etcd-election/diagnostics');
  startWatchdog({
    directory,
    keep: 3,
    startupGraceMs: 0, // it has been running for long
    hotMs: 1_000,
    // The loop waits for etcd a third of its time. By default that is a busy service, not a runaway.
    hotUtilization: 0.5,
    pollMs: 250,
    profileMs: 2_000,
    log: false,
    onRunaway: (runaway) => process.send?.({ runaway } satisfies Found),
  });
}
