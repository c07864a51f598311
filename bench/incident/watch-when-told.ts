/**
 * Lets a process be watched after its measurement. Until it gets the folder for the evidence, it loads nothing
 * of the watchdog, so its figures are its own.
 */
import type { RunawayReport } from 'etcd-election/diagnostics';

/** The message of the watched process. */
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
    startupGraceMs: 0, // it has been running for a while
    hotMs: 1_000,
    // The loop waits for etcd a third of its time. By default that counts as a busy service, not as a runaway.
    hotUtilization: 0.5,
    pollMs: 250,
    profileMs: 2_000,
    log: false,
    onRunaway: (runaway) => process.send?.({ runaway } satisfies Found),
  });
}
