/** A service that runs away for five seconds, and what there is to see meanwhile. Needs no etcd. */
import { serveDiagnostics, startWatchdog } from 'etcd-election/diagnostics';

// #region watchdog
const watchdog = startWatchdog({
  startupGraceMs: 0, // a service leaves it at 5 s
  onRunaway({ verdict, suspects: [guilty], files }) {
    // On the main thread: when it turns again. Meanwhile there are stderr, `webhook`, and the pages.
    console.log(`${verdict}: ${guilty?.function} (${guilty?.file}:${guilty?.line})`);
    console.log(`flame graph: ${files.flameGraph}`);
  },
});
const diagnostics = await serveDiagnostics({ port: Number(process.env['DIAGNOSTICS_PORT'] ?? 6161) });
console.log(`look at ${diagnostics.url}/debug/pprof/`);
// #endregion watchdog

/** The mistake: it looks again and again, and never lets the event loop turn. */
function waitForTheLock(untilMs: number): void {
  while (performance.now() < untilMs);
}

waitForTheLock(performance.now() + 5_000);
console.log('turns again');

await diagnostics.close();
await watchdog.close();
