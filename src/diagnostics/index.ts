/**
 * etcd-election/diagnostics: sees a runaway as its author would see it. Loads nothing into a service that does not
 * import it.
 */
export { startWatchdog, type Watchdog } from './watchdog.ts';
export type { WatchdogOptions } from './watchdog-options.ts';
export type { EvidenceFiles, RunawayReport, Verdict } from './report.ts';
export type { Suspect } from './suspects.ts';
export { serveDiagnostics, type DiagnosticsServer, type HandlerOptions, type ServeOptions } from './serve.ts';
export { diagnosticsHandler, type DiagnosticsHandler } from './handler.ts';
export { captureProfile, type CaptureOptions } from './capture-profile.ts';
export { captureProcess, type CaptureProcessOptions } from './capture-process.ts';
export { closeInspector, type CloseInspectorOptions } from './close-inspector.ts';
export { parseCpuProfile, type CpuProfile } from './cpu-profile.ts';
export { toFlameGraph, toFlameGraphSvg, toPprof, toTop, findSuspects } from './formats.ts';
export { DiagnosticsError, type DiagnosticsErrorCode } from './errors.ts';
export type { ElectionSource, LiveElection } from './elections.ts';
