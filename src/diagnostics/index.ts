/**
 * etcd-election/diagnostics: a watchdog, profiles and pages that find a runaway loop. The main module does not load this code.
 */
export { startWatchdog, type Watchdog } from './watchdog/watchdog.ts';
export type { WatchdogOptions } from './watchdog/watchdog-options.ts';
export type { EvidenceFiles, RunawayReport, Verdict } from './evidence/report.ts';
export type { Suspect } from './formats/suspects.ts';
export { serveDiagnostics, type DiagnosticsServer, type HandlerOptions, type ServeOptions } from './serve.ts';
export { diagnosticsHandler, type DiagnosticsHandler } from './handler.ts';
export { captureProfile, type CaptureOptions } from './profile/capture-profile.ts';
export { captureProcess, type CaptureProcessOptions } from './profile/capture-process.ts';
export { closeInspector, type CloseInspectorOptions } from './profile/close-inspector.ts';
export { parseCpuProfile, type CpuProfile } from './formats/cpu-profile.ts';
export { toFlameGraph, toFlameGraphSvg, toPprof, toTop, findSuspects } from './formats/render-profile.ts';
export { DiagnosticsError, type DiagnosticsErrorCode } from './errors.ts';
export type { ElectionSource, LiveElection } from './elections.ts';
