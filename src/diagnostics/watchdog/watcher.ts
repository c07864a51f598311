import { performance } from 'node:perf_hooks';
import { type Finding, type Watch, beginWatch, watch } from './classify.ts';
import { messageOf } from '../errors.ts';
import { connectInspector } from '../profile/inspector.ts';
import { type MainCpu, mainCpu } from './main-cpu.ts';
import type { MainLink } from './main-link.ts';
import type { ToWorker, WatchSettings } from './messages.ts';
import { type RecordOptions, type Recording, recordProfile } from '../profile/record-profile.ts';
import type { RunawayReport, Verdict } from '../evidence/report.ts';
import { fileReport } from '../evidence/file-report.ts';
import { fold } from '../formats/fold.ts';
import { inSource } from '../profile/source-maps.ts';
import { suspects } from '../formats/suspects.ts';

/** Between two looks at a thread that is overdue to answer, in milliseconds. */
const SOON_MS = 100;

/** How many reports the pages show. */
const REMEMBERED = 20;

/** Watches the main thread from the worker: looks, decides (`classify.ts`), records, reports. */
export class Watcher {
  readonly reports: RunawayReport[] = [];
  readonly counts: Record<Verdict, number> = { starved: 0, hot: 0, rounds: 0 };
  readonly #link: MainLink;
  readonly #settings: WatchSettings;
  readonly #cpu: MainCpu = mainCpu();
  readonly #startedAt = performance.now();
  readonly #reportedAt = new Map<string, number>();
  #watch: Watch = beginWatch(this.#startedAt, this.#cpu.read());
  #episode: { verdict: Finding['verdict']; since: number } | undefined;
  #answeredAt = -Infinity;
  #timer: NodeJS.Timeout | undefined;

  constructor(link: MainLink, settings: WatchSettings) {
    this.#link = link;
    this.#settings = settings;
    this.#lookAgain();
  }

  /** `starved` and `hot` from detection to recovery, otherwise `calm`. */
  get state(): 'calm' | Finding['verdict'] {
    return this.#episode?.verdict ?? 'calm';
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#cpu.close();
  }

  /** The main thread answered: it turns. */
  answered(utilization: number): void {
    const at = performance.now();
    this.#answeredAt = at;
    this.#watch = watch(this.#watch, { type: 'answer', at, utilization }, this.#settings).watch;
    this.#endEpisode(this.#episode?.verdict === 'starved', at);
  }

  /** The loop guard of an election tripped: the call sites are the evidence, a CPU profile would show a loop at rest. */
  tripped({ election }: ToWorker & { type: 'tripped' }): void {
    const guards = this.#link.snapshot.guards.filter((guard) => guard.election === election);
    if (!this.#mayReport(`rounds ${election}`)) return;
    void this.#report({ verdict: 'rounds', forMs: 0 }, { guards, notes: [] });
  }

  /** The look is kept ref'd: it is what keeps the worker alive, an inspector command under way does not. */
  #lookAgain(): void {
    const { pollMs, stallMs } = this.#settings;
    const now = performance.now();
    const untilStalled = this.#watch.asked === undefined ? Infinity : this.#watch.asked.at + stallMs - now;
    const inMs = Math.min(pollMs, Math.max(Math.ceil(untilStalled), SOON_MS));
    this.#timer = setTimeout(() => this.#look(now + inMs), inMs);
  }

  #look(dueAt: number): void {
    const at = performance.now();
    const sight = { type: 'look', at, cpu: this.#cpu.read(), lateMs: Math.max(0, at - dueAt) } as const;
    const seen = watch(this.#watch, sight, this.#settings);
    this.#watch = seen.watch;
    if (seen.ask) this.#link.ask();
    if (seen.finding !== undefined) this.#found(seen.finding);
    this.#endEpisode(this.#episode?.verdict === 'hot' && this.#watch.hotSince === undefined, at);
    this.#lookAgain();
  }

  #found(finding: Finding): void {
    if (this.#episode?.verdict === finding.verdict) return;
    if (performance.now() - this.#startedAt < this.#settings.startupGraceMs) return;
    this.#episode = { verdict: finding.verdict, since: performance.now() - finding.forMs };
    if (this.#mayReport(finding.verdict)) void this.#investigate(finding, new Date().toISOString());
  }

  #endEpisode(isOver: boolean, at: number): void {
    if (this.#episode === undefined || !isOver) return;
    this.#link.post({ type: 'ended', verdict: this.#episode.verdict, forMs: at - this.#episode.since });
    this.#episode = undefined;
  }

  #mayReport(kind: string): boolean {
    const now = performance.now();
    if (now - (this.#reportedAt.get(kind) ?? -Infinity) < this.#settings.cooldownMs) return false;
    if (this.#reportedAt.size >= 1000) this.#reportedAt.clear(); // elections come and go; keep the table small
    this.#reportedAt.set(kind, now);
    return true;
  }

  async #investigate(finding: Finding, at: string): Promise<void> {
    const notes: string[] = [];
    let recording: Recording | undefined;
    let begunAt = Infinity;
    try {
      const onBegun = (): void => void (begunAt = performance.now());
      recording = await recordMain(this.#settings, { durationMs: this.#settings.profileMs, onBegun });
    } catch (error) {
      if (this.#settings.whyNoProfile === undefined) notes.push(messageOf(error)); // else it is among the settings' notes
    }
    // It turned before there was much to see: a long garbage collection or a long block, over by itself.
    const isOver = finding.verdict === 'starved' && this.#episode?.verdict !== 'starved';
    if (isOver && this.#answeredAt < begunAt + this.#settings.profileMs / 4) {
      this.#reportedAt.delete('starved');
      return;
    }
    await this.#report(finding, { at, recording, notes, ended: isOver });
  }

  async #report(
    finding: Omit<Finding, 'verdict' | 'cpu'> & { verdict: Verdict; cpu?: number },
    found: {
      at?: string;
      recording?: Recording | undefined;
      guards?: RunawayReport['guards'];
      notes: string[];
      ended?: boolean;
    },
  ): Promise<void> {
    const { snapshot } = this.#link;
    const guards = found.guards ?? snapshot.guards.filter(({ holds }) => holds > 0).slice(0, 5);
    const leading = snapshot.elections.filter(({ state }) => state === 'leading').map(({ name }) => name);
    const report: RunawayReport = {
      verdict: finding.verdict,
      at: found.at ?? new Date().toISOString(),
      pid: process.pid,
      forMs: Math.round(finding.forMs),
      ...(finding.cpu !== undefined && { cpu: Math.round(Math.min(1, finding.cpu) * 100) / 100 }),
      suspects: found.recording === undefined ? [] : suspects(fold(found.recording.profile)),
      guards,
      leading,
      evidence: found.recording === undefined ? (guards.length > 0 ? 'call-sites' : 'none') : 'profile',
      files: {},
      notes: [...this.#settings.notes, ...found.notes, ...leadershipNote(finding.verdict, leading)],
      ended: found.ended ?? false,
    };
    this.counts[report.verdict]++;
    const filed = await fileReport(report, found.recording, this.#settings);
    this.reports.unshift(filed);
    this.reports.length = Math.min(this.reports.length, REMEMBERED);
    this.#link.post({ type: 'runaway', report: filed });
    if (report.verdict === 'starved' && this.#settings.onStarved === 'kill' && this.#episode !== undefined) {
      process.kill(process.pid, 'SIGKILL'); // the only signal that a spinning thread cannot leave unanswered
    }
  }
}

/** Records the main thread, from this worker; with the places of its source. */
export async function recordMain(
  { deoptimise, whyNoProfile }: Pick<WatchSettings, 'deoptimise' | 'whyNoProfile'>,
  options: Omit<RecordOptions, 'deoptimise'>,
): Promise<Recording> {
  const session = connectInspector('main', whyNoProfile);
  try {
    const { profile, takenAt } = await recordProfile(session, { ...options, deoptimise });
    return { profile: inSource(profile), takenAt };
  } finally {
    session.disconnect();
  }
}

const leadershipNote = (verdict: Verdict, leading: readonly string[]): string[] =>
  verdict !== 'starved' || leading.length === 0
    ? []
    : [
        `this process led ${leading.map((name) => `"${name}"`).join(', ')}: it cannot renew while it spins, so another replica leads once the lease has run out`,
      ];
