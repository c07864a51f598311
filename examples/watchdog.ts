/** A service that runs away for ten seconds, and the report of the watchdog. The program needs no etcd. */
import { type RunawayReport, serveDiagnostics, startWatchdog } from 'etcd-election/diagnostics';

// #region watchdog
function tell({ verdict, suspects: [guilty], files }: RunawayReport): void {
  console.log(`${verdict}: ${guilty?.function} (${guilty?.file}:${guilty?.line})`);
  console.log(`flame graph: ${files.flameGraph}`);
}

// The main thread calls both callbacks, so they wait until the thread turns again. Until then the watchdog reports on stderr, to the
// option `webhook` and on its pages.
const watchdog = startWatchdog({
  startupGraceMs: 0, // a real service keeps the default, 5 s
  onRunaway: tell,
  onNotice: tell, // called for a block that is over already, such as the loop below
});
const diagnostics = await serveDiagnostics({ port: Number(process.env['DIAGNOSTICS_PORT'] ?? 6161) });
console.log(`look at ${diagnostics.url}/debug/pprof/`);
// #endregion watchdog

/** The mistake: this loop never lets the event loop turn. */
function waitForTheLock(untilMs: number): void {
  while (performance.now() < untilMs);
}

waitForTheLock(performance.now() + 10_000);
console.log('turns again');
await new Promise<void>((resolve) => setTimeout(resolve, 1_000)); // time for the report to reach this thread

await diagnostics.close();
await watchdog.close();
