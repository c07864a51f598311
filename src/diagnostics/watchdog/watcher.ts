import { performance } from 'node:perf_hooks';
import { messageOf } from '../errors.ts';
import { fileReport, writeLine } from '../evidence/file-report.ts';
import { type RunawayReport, type Verdict, isRunaway, overLine } from '../evidence/report.ts';
import { fold } from '../formats/fold.ts';
import { suspects } from '../formats/suspects.ts';
import { recordMain } from '../profile/record-main.ts';
import type { Recording } from '../profile/record-profile.ts';
import { type Finding, type Turning, type Watch, beginWatch, hasRunAway, watch } from './classify.ts';
import { Episode } from './episode.ts';
import { type LedTerm, leadershipNote, ledTerms } from './led-terms.ts';
import { type MainCpu, mainCpu } from './main-cpu.ts';
import type { MainLink } from './main-link.ts';
import type { ToWorker, WatchSettings } from './messages.ts';
import { Reports } from './reports.ts';

/** The time between two checks of a thread whose answer is overdue, in milliseconds. */
const SOON_MS = 100;

/** The result of an investigation. */
interface Found {
  readonly at: string;
  readonly recording?: Recording | undefined;
  readonly guards: RunawayReport['guards'];
  readonly terms: readonly LedTerm[];
  readonly notes: readonly string[];
  readonly ended: boolean;
}

type Seen = Pick<Finding, 'forMs'> & { readonly verdict: Verdict; readonly cpu?: number };

/** Watches the main thread from the worker: checks it, decides (`classify.ts`), records a profile and reports. */
export class Watcher {
  readonly reports: Reports;
  readonly #link: MainLink;
  readonly #settings: WatchSettings;
  readonly #cpu: MainCpu = mainCpu();
  readonly #startedAt = performance.now();
  #watch: Watch = beginWatch(this.#startedAt, this.#cpu.read());
  #episode: Episode | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(link: MainLink, settings: WatchSettings) {
    this.#link = link;
    this.#settings = settings;
    this.reports = new Reports(settings.cooldownMs);
    this.#lookAgain();
  }

  /** The present problem, from the first check that sees it until it is over. Otherwise `calm`. */
  get state(): 'calm' | Finding['verdict'] {
    return this.#episode?.verdict ?? 'calm';
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#cpu.close();
  }

  /** Call it when the main thread has answered, and so turns. */
  answered(turning: Turning): void {
    const at = performance.now();
    this.#watch = watch(this.#watch, { type: 'answer', at, ...turning }, this.#settings).watch;
    this.#endEpisode(this.#episode?.verdict === 'starved', at);
  }

  /** The loop guard of an election tripped. The call sites are the evidence: a CPU profile would show a waiting loop. */
  tripped({ election }: ToWorker & { type: 'tripped' }): void {
    const { snapshot } = this.#link;
    if (!this.reports.take(`rounds ${election}`, performance.now())) return;
    const guards = snapshot.guards.filter((guard) => guard.election === election);
    const found = {
      at: new Date().toISOString(),
      guards,
      terms: ledTerms(snapshot),
      notes: [],
      ended: false,
    };
    void this.#report({ verdict: 'rounds', forMs: 0 }, found);
  }

  /** The timer stays ref'd, because it keeps the worker alive. An open inspector command does not. */
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
    if (seen.finding !== undefined) this.#found(seen.finding, at);
    this.#endEpisode(this.#episode?.verdict === 'hot' && this.#watch.spinsSince === undefined, at);
    this.#endEpisode(this.#episode?.verdict === 'saturated' && this.#watch.busySince === undefined, at);
    this.#lookAgain();
  }

  #found(finding: Finding, at: number): void {
    const { startupGraceMs, runawayMs } = this.#settings;
    if (this.#episode?.verdict !== finding.verdict) {
      if (at - this.#startedAt < startupGraceMs) return;
      this.#episode = new Episode(finding, at);
      if (this.reports.take(finding.verdict, at)) void this.#investigate(this.#episode);
    }
    this.#episode.finding = finding;
    if (finding.verdict !== 'starved' || hasRunAway(finding, runawayMs)) this.#episode.lasts();
  }

  #endEpisode(isOver: boolean, at: number): void {
    const episode = this.#episode;
    if (episode === undefined || !isOver) return;
    this.#episode = undefined;
    episode.end(at);
    if (episode.report !== undefined) this.#over(episode, episode.report);
  }

  async #investigate(episode: Episode): Promise<void> {
    const at = new Date().toISOString();
    const { verdict } = episode;
    const { snapshot } = this.#link;
    const guards = snapshot.guards.filter(({ holds }) => holds > 0).slice(0, 5);
    const terms = ledTerms(snapshot);
    const notes: string[] = [];
    let recording: Recording | undefined;
    let begunAt = Infinity;
    try {
      const onBegun = (): void => void (begunAt = performance.now());
      recording = await recordMain(this.#settings, { durationMs: this.#settings.profileMs, onBegun });
    } catch (error) {
      if (this.#settings.whyNoProfile === undefined) notes.push(messageOf(error)); // otherwise the settings' notes contain it
    }
    await episode.decided;
    const ended = episode.endedAt !== undefined;
    // The loop turned again too early: most of the profile shows the time after that.
    if (verdict === 'starved' && (episode.endedAt ?? Infinity) < begunAt + this.#settings.profileMs / 4) {
      this.reports.giveBack('starved');
      return;
    }
    const seen = ended
      ? { ...episode.finding, verdict: WHEN_OVER[verdict], forMs: episode.forMs }
      : episode.finding;
    const report = await this.#report(seen, { at, recording, guards, terms, notes, ended });
    if (!isRunaway(report.verdict)) return;
    episode.report = report;
    if (episode.endedAt !== undefined) this.#over(episode, report);
    else if (verdict === 'starved' && this.#settings.onStarved === 'kill') {
      process.kill(process.pid, 'SIGKILL'); // a spinning thread can ignore every other signal
    }
  }

  async #report(seen: Seen, found: Found): Promise<RunawayReport> {
    const { verdict, forMs, cpu } = seen;
    const { at, recording, guards, terms, ended } = found;
    const report: RunawayReport = {
      verdict,
      at,
      pid: process.pid,
      forMs: Math.round(forMs),
      ...(cpu !== undefined && { cpu: Math.round(Math.min(1, cpu) * 100) / 100 }),
      suspects: recording === undefined ? [] : suspects(fold(recording.profile)),
      guards,
      leading: terms.map(({ name }) => name),
      evidence: recording === undefined ? (guards.length > 0 ? 'call-sites' : 'none') : 'profile',
      files: {},
      notes: [...this.#settings.notes, ...found.notes, ...leadershipNote(verdict, terms, Date.now())],
      ended,
    };
    this.reports.count(verdict);
    const filed = await fileReport(report, recording, this.#settings);
    this.reports.add(filed);
    if (!isRunaway(verdict)) this.#link.post({ type: 'notice', report: filed });
    // The main thread gets the report of a starved loop only when it turns again. Then the problem is over.
    else if (verdict !== 'starved') this.#link.post({ type: 'runaway', report: filed, terms });
    return filed;
  }

  /** Records that a reported runaway is over. If the loop was starved, it was a long block. */
  #over(episode: Episode, report: RunawayReport): void {
    const { verdict } = report;
    this.#link.post({ type: 'ended', verdict, forMs: episode.forMs });
    if (this.#settings.log !== false) writeLine(overLine(report, episode.forMs, this.#settings.log));
    if (verdict !== 'starved') return;
    const block = { ...report, verdict: 'blocked', forMs: Math.round(episode.forMs), ended: true } as const;
    this.reports.remove(report);
    this.reports.add(block);
    this.#link.post({ type: 'notice', report: block });
  }
}

/** A problem that is over before its report is not a runaway. */
const WHEN_OVER = { starved: 'blocked', hot: 'saturated', saturated: 'saturated' } as const;
