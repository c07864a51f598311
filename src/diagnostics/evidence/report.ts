import type { GuardReport } from '../../index.ts';
import { type Suspect, describeSuspect } from '../formats/suspects.ts';

/**
 * What the watchdog found. Runaways:
 * - `starved`: the main thread uses the CPU, and its event loop has not turned for `runawayMs`. Timers, sockets and the
 *   renewals of this library do not run. Causes: a synchronous loop, endless promises or endless `process.nextTick`.
 * - `hot`: the event loop turns, but keeps itself busy without rest for `hotMs`. Causes: an await loop or endless
 *   `setImmediate`.
 * - `rounds`: the loop guard of an election tripped, because the program calls the election in a loop. The loop costs
 *   little, because the guard delays it. The report names the caller.
 *
 * Notices, which are not runaways:
 * - `blocked`: the event loop did not turn for `stallMs` or longer, but turns again.
 * - `saturated`: the event loop had no rest for `hotMs`, because the service has more work than it can do.
 */
export type Verdict = 'starved' | 'hot' | 'rounds' | 'blocked' | 'saturated';

export const isRunaway = (verdict: Verdict): boolean => verdict !== 'blocked' && verdict !== 'saturated';

export interface RunawayReport {
  readonly verdict: Verdict;
  /** When the problem was noticed, as an ISO date. The evidence was taken afterwards. */
  readonly at: string;
  readonly pid: number;
  /**
   * How long the problem lasted, in milliseconds: in total if it is over, otherwise until the report. Always 0 for `rounds`.
   */
  readonly forMs: number;
  /**
   * How much of a core the main thread used, 0–1. For `starved` and `blocked`: while the event loop did not turn. For `hot` and
   * `saturated`: between the last two checks. undefined for `rounds`.
   */
  readonly cpu?: number | undefined;
  /** The functions that probably cause the problem, the likeliest first. Empty without a CPU profile. */
  readonly suspects: readonly Suspect[];
  /**
   * Counts of at most 5 loop guards. For `rounds`: guards of the elections in which a guard tripped. Otherwise: guards
   * that delayed rounds.
   */
  readonly guards: readonly GuardReport[];
  /** Elections that this process led when the problem was noticed. */
  readonly leading: readonly string[];
  /** `profile`: a CPU profile, and call sites if there are any. */
  readonly evidence: 'profile' | 'call-sites' | 'none';
  /** Absolute paths of the written files. */
  readonly files: EvidenceFiles;
  /** What failed and why, and other facts for the reader. */
  readonly notes: readonly string[];
  /** Whether the problem was over before the report. */
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

export const busiestCallSite = ({ callSites }: GuardReport): GuardReport['callSites'][number] | undefined =>
  callSites.toSorted((a, b) => b.rounds - a.rounds)[0];

/** One line for the person on call: what happened and where to look. */
export function headline(report: RunawayReport): string {
  const blamed = report.suspects.map(describeSuspect).join(', ');
  const [guard] = report.guards;
  const evidence = report.files.directory === undefined ? '' : `; evidence in ${report.files.directory}`;
  const notes = report.notes.map((note) => `; ${note}`).join('');
  const rounds = guard === undefined ? '' : `; election "${guard.election}": ${roundsOf(guard)}`;
  const line = `${whatHappened(report)}${blamed === '' ? '' : `; top: ${blamed}`}${rounds}${evidence}${notes}`;
  return line.replace(/[\p{Cc}\u2028\u2029]+/gu, ' '); // a name or a message must not split the line
}

function roundsOf(guard: GuardReport): string {
  const all = `${guard.rounds} rounds`;
  const site = busiestCallSite(guard);
  const caller = site?.stack[0];
  if (site === undefined || caller === undefined) return all;
  // The other rounds began elsewhere. The report may lack some of those places, because the guard keeps only the first 16.
  const share = site.rounds < guard.rounds ? `${site.rounds} of them ` : '';
  return `${all}, ${share}called from ${caller.trim()}`;
}

function whatHappened({ verdict, forMs, cpu }: RunawayReport): string {
  const seconds = (forMs / 1000).toFixed(1);
  const burnt = cpu === undefined ? '' : `, ${Math.round(cpu * 100)} % CPU`;
  return {
    starved: `runaway: the event loop has not turned for ${seconds} s${burnt}`,
    hot: `runaway: the event loop has kept itself busy without rest for ${seconds} s${burnt}`,
    rounds: 'runaway held back by the loop guard',
    blocked: `blocked: the event loop did not turn for ${seconds} s${burnt}; it turns again`,
    saturated: `saturated: the event loop has had no rest for ${seconds} s${burnt}`,
  }[verdict];
}

/** The levels of pino. */
const LEVELS = { error: 50, warn: 40, info: 30 } as const;

export function logLine(report: RunawayReport, format: 'text' | 'json'): string {
  const { verdict, forMs, suspects, files } = report;
  const level = isRunaway(verdict) ? 'error' : 'warn';
  const event = isRunaway(verdict) ? 'runaway' : 'notice';
  const fields = { event, verdict, forMs, suspects, files };
  return line({ at: report.at, pid: report.pid, level, fields, message: headline(report), format });
}

/** The line that says that a reported runaway is over. */
export function overLine(report: RunawayReport, forMs: number, format: 'text' | 'json'): string {
  const { verdict, pid } = report;
  const message =
    verdict === 'starved'
      ? `the event loop turns again: it was a block of ${(forMs / 1000).toFixed(1)} s`
      : `the runaway is over after ${(forMs / 1000).toFixed(1)} s`;
  const fields = { event: 'runaway.ended', verdict, forMs: Math.round(forMs) };
  return line({ at: new Date().toISOString(), pid, level: 'info', fields, message, format });
}

/** The line that says that the webhook did not take a report. */
export function webhookLine({ verdict, pid }: RunawayReport, note: string, format: 'text' | 'json'): string {
  const fields = { event: 'webhook.failed', verdict };
  return line({ at: new Date().toISOString(), pid, level: 'error', fields, message: note, format });
}

interface Line {
  readonly at: string;
  readonly pid: number;
  readonly level: keyof typeof LEVELS;
  readonly fields: object;
  readonly message: string;
  readonly format: 'text' | 'json';
}

function line({ at, pid, level, fields, message, format }: Line): string {
  if (format === 'text') return `${at} [etcd-election] ${message}\n`;
  const head = { level: LEVELS[level], time: Date.parse(at), pid, name: 'etcd-election' };
  return `${JSON.stringify({ ...head, ...fields, msg: message })}\n`;
}
