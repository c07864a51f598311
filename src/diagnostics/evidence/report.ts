import type { GuardReport } from '../../index.ts';
import { type Suspect, describeSuspect } from '../formats/suspects.ts';

/**
 * - `starved`: the main thread burns CPU and its event loop does not turn (a synchronous loop, promises or
 *   `process.nextTick` without end). Timers, sockets and this library's renewals stand still.
 * - `hot`: its event loop turns, but has had no rest for `hotMs` (an await loop, `setImmediate` without end).
 * - `rounds`: the loop guard of an election tripped: somebody calls it again and again. The guard holds that loop
 *   back, so it costs next to nothing; the report names the caller.
 */
export type Verdict = 'starved' | 'hot' | 'rounds';

export interface RunawayReport {
  readonly verdict: Verdict;
  /** When it was noticed, as an ISO date. */
  readonly at: string;
  readonly pid: number;
  /** For how long it had been seen when it was noticed, in milliseconds. */
  readonly forMs: number;
  /** Cores that the main thread burnt meanwhile, 0–1; undefined for `rounds`. */
  readonly cpu?: number | undefined;
  /** Who is to blame, the likeliest first; empty without a CPU profile. */
  readonly suspects: readonly Suspect[];
  /** What the loop guard counted, call sites included, of elections it had to hold back; busiest first. At most 5. */
  readonly guards: readonly GuardReport[];
  /** Elections that this process led when last heard of: in a starved one their terms end by themselves. */
  readonly leading: readonly string[];
  /** `profile`: a CPU profile, and call sites if there are any. */
  readonly evidence: 'profile' | 'call-sites' | 'none';
  /** Absolute paths of what was written. */
  readonly files: EvidenceFiles;
  /** What could not be done and why; what else matters to the reader. */
  readonly notes: readonly string[];
  /** The event loop turned again while the evidence was being taken: a long block, now over. */
  readonly ended: boolean;
}

export interface EvidenceFiles {
  readonly directory?: string;
  readonly report?: string;
  /** For Chrome DevTools, VS Code, speedscope. */
  readonly cpuprofile?: string;
  /** For `go tool pprof`, Pyroscope, Parca, Grafana. */
  readonly pprof?: string;
  readonly flameGraph?: string;
  readonly top?: string;
  /** The loop guard's call sites as a pprof profile. */
  readonly campaigns?: string;
}

/** One line that tells whoever is paged where to look. */
export function headline(report: RunawayReport): string {
  const seconds = (report.forMs / 1000).toFixed(1);
  const cpu = report.cpu === undefined ? '' : `, ${Math.round(report.cpu * 100)} % CPU`;
  const what = {
    starved: `runaway: the event loop has not turned for ${seconds} s${cpu}`,
    hot: `runaway: the event loop has had no rest for ${seconds} s${cpu}`,
    rounds: `runaway held back by the loop guard`,
  }[report.verdict];
  const blamed = report.suspects.map(describeSuspect).join(', ');
  const [guard] = report.guards;
  const site = guard?.callSites[0];
  const caller =
    guard === undefined
      ? ''
      : `; election "${guard.election}": ${guard.rounds} rounds${site?.stack[0] ? `, called from ${site.stack[0].trim()}` : ''}`;
  const evidence = report.files.directory === undefined ? '' : `; evidence in ${report.files.directory}`;
  const notes = report.notes.map((note) => `; ${note}`).join('');
  const line = `${what}${blamed === '' ? '' : `; top: ${blamed}`}${caller}${evidence}${notes}`;
  return line.replace(/[\p{Cc}\u2028\u2029]+/gu, ' '); // a name or a message of another's must not make it two
}

export function logLine(report: RunawayReport, format: 'text' | 'json'): string {
  const message = headline(report);
  if (format === 'text') return `${report.at} [etcd-election] ${message}\n`;
  const { verdict, forMs, suspects, files, pid } = report;
  // As pino writes it: level 50 is an error.
  const fields = { level: 50, time: Date.parse(report.at), pid, name: 'etcd-election', event: 'runaway' };
  return `${JSON.stringify({ ...fields, verdict, forMs, suspects, files, msg: message })}\n`;
}
