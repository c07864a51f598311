/** A service that runs away for ten seconds, and what there is to see meanwhile. Needs no etcd. */
import { type RunawayReport, serveDiagnostics, startWatchdog } from 'etcd-election/diagnostics';

// #region watchdog
function tell({ verdict, suspects: [guilty], files }: RunawayReport): void {
  console.log(`${verdict}: ${guilty?.function} (${guilty?.file}:${guilty?.line})`);
  console.log(`flame graph: ${files.flameGraph}`);
}

// Both run on the main thread, so not while it spins. Then there are stderr, `webhook`, and the pages.
const watchdog = startWatchdog({
  startupGraceMs: 0, // a service leaves it at 5 s
  onRunaway: tell,
  onNotice: tell, // the loop below is over when it can be told: a block, no runaway
});
const diagnostics = await serveDiagnostics({ port: Number(process.env['DIAGNOSTICS_PORT'] ?? 6161) });
console.log(`look at ${diagnostics.url}/debug/pprof/`);
// #endregion watchdog

/** The mistake: it looks again and again, and never lets the event loop turn. */
function waitForTheLock(untilMs: number): void {
  while (performance.now() < untilMs);
}

waitForTheLock(performance.now() + 10_000);
console.log('turns again');
await new Promise<void>((resolve) => setTimeout(resolve, 1_000)); // so that it hears of it

await diagnostics.close();
await watchdog.close();
