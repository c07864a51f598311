import { performance } from 'node:perf_hooks';
import { messageOf } from '../errors.ts';
import { fileReport, writeLine } from '../evidence/file-report.ts';
import { type RunawayReport, type Verdict, isRunaway, overLine } from '../evidence/report.ts';
import { fold } from '../formats/fold.ts';
import { suspects } from '../formats/suspects.ts';
import { recordMain } from '../profile/record-main.ts';
import type { Recording } from '../profile/record-profile.ts';
import { type Finding, type Turning, type Watch, beginWatch, watch } from './classify.ts';
import { Episode } from './episode.ts';
import { type LedTerm, leadershipNote } from './led-terms.ts';
import { type MainCpu, mainCpu } from './main-cpu.ts';
import type { MainLink } from './main-link.ts';
import type { ToWorker, WatchSettings } from './messages.ts';
import { Reports } from './reports.ts';

/** The time between two checks of a thread whose answer is overdue, in milliseconds. */
const SOON_MS = 100;

const SHOWN_GUARDS = 5;

interface Found {
  readonly at: string;
  readonly recording?: Recording | undefined;
  readonly guards: RunawayReport['guards'];
  readonly terms: readonly LedTerm[];
  readonly notes: readonly string[];
  readonly ended: boolean;
}

type Seen = Pick<Finding, 'forMs'> & { readonly verdict: Verdict; readonly cpu?: number };

/** Checks the main thread from the worker, decides with `classify.ts`, records a profile and reports. */
export class Watcher {
  readonly reports: Reports;
  readonly #link: MainLink;
  readonly #settings: WatchSettings;
  readonly #cpu: MainCpu = mainCpu();
  readonly #startedAt = performance.now();
  #watch: Watch = beginWatch(this.#startedAt, this.#cpu.read());
  /** The present block. It may come in the middle of a time without rest, and does not end that time. */
  #block: Episode | undefined;
  /** The present time without rest, `hot` or `saturated`. */
  #restless: Episode | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(link: MainLink, settings: WatchSettings) {
    this.#link = link;
    this.#settings = settings;
    this.reports = new Reports(settings.cooldownMs);
    this.#lookAgain();
  }

  /** Whether the main thread starves its event loop now. */
  get isStarved(): boolean {
    return this.#block !== undefined;
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#cpu.close();
  }

  answered(turning: Turning): void {
    const at = performance.now();
    this.#watch = watch(this.#watch, { type: 'answer', at, ...turning }, this.#settings).watch;
    this.#end(this.#block, at);
    this.#block = undefined;
  }

  /**
   * Reports loop guards that tripped. The evidence is their call sites. A CPU profile would not show the loop, because the
   * guard makes the loop wait. One loop may trip the guards of thousands of elections, so all these guards share one report.
   */
  tripped({ elections, guards }: ToWorker & { type: 'tripped' }): void {
    const now = performance.now();
    const kindOf = (election: string): string => `rounds ${election}`;
    const tripped = new Set(elections.filter((election) => this.reports.mayReport(kindOf(election), now)));
    if (tripped.size === 0) return;
    for (const election of tripped) this.reports.reported(kindOf(election), now);
    const found = {
      at: new Date().toISOString(),
      guards: guards.filter(({ election }) => tripped.has(election)).slice(0, SHOWN_GUARDS),
      terms: this.#link.led,
      notes: tripped.size === 1 ? [] : [`the loop guards of ${tripped.size} elections tripped together`],
      ended: false,
    };
    void this.#report({ verdict: 'rounds', forMs: 0 }, found);
  }

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
    if (this.#restless !== undefined && isOver(this.#restless, this.#watch)) {
      this.#end(this.#restless, at);
      this.#restless = undefined;
    }
    if (seen.finding !== undefined && at - this.#startedAt >= this.#settings.startupGraceMs)
      this.#found(seen.finding, at);
    this.#lookAgain();
  }

  #found(finding: Finding, at: number): void {
    const episode =
      finding.verdict === 'starved' ? this.#seeBlock(finding, at) : this.#seeRestless(finding, at);
    if (!episode.isInvestigated && this.#mayReport(episode.expected, at)) void this.#investigate(episode);
  }

  #seeBlock(finding: Finding, at: number): Episode {
    this.#block ??= new Episode(finding, at, this.#settings.runawayMs);
    this.#block.see(finding);
    return this.#block;
  }

  /** A `hot` loop that rests a little looks `saturated` for a moment. This does not begin a new episode. */
  #seeRestless(finding: Finding, at: number): Episode {
    if (this.#restless === undefined || (this.#restless.verdict === 'saturated' && finding.verdict === 'hot'))
      this.#restless = new Episode(finding, at, this.#settings.runawayMs);
    if (this.#restless.verdict === finding.verdict) this.#restless.see(finding);
    return this.#restless;
  }

  /** The cooldown does not apply to the report before a kill. */
  #mayReport(verdict: Verdict, at: number): boolean {
    const isLast = verdict === 'starved' && this.#settings.onStarved === 'kill';
    return isLast || this.reports.mayReport(verdict, at);
  }

  #end(episode: Episode | undefined, at: number): void {
    episode?.end(at);
    if (episode?.report !== undefined) this.#over(episode, episode.report);
  }

  async #investigate(episode: Episode): Promise<void> {
    episode.isInvestigated = true;
    const at = new Date().toISOString();
    const { verdict } = episode;
    const { snapshot, led: terms } = this.#link;
    const guards = snapshot.guards.filter(({ holds }) => holds > 0).slice(0, SHOWN_GUARDS);
    const notes: string[] = [];
    let recording: Recording | undefined;
    let begunAt = Infinity;
    try {
      const onBegun = (): void => void (begunAt = performance.now());
      recording = await recordMain(this.#settings, { durationMs: this.#settings.profileMs, onBegun });
    } catch (error) {
      if (this.#settings.whyNoProfile === undefined) notes.push(messageOf(error)); // else settings.notes has the reason
    }
    await episode.decided;
    const ended = episode.endedAt !== undefined;
    const final = ended ? WHEN_OVER[verdict] : verdict;
    // If the block ended in the first quarter of the profile, the profile mostly shows the time afterwards. Without a
    // profile, a block that is over is not reported either.
    const isTooLate =
      verdict === 'starved' && (episode.endedAt ?? Infinity) < begunAt + this.#settings.profileMs / 4;
    if (isTooLate || !this.#mayReport(final, performance.now())) {
      episode.isInvestigated = false; // a problem that lasts is investigated again
      return;
    }
    this.reports.reported(final, performance.now());
    const seen = { ...episode.finding, verdict: final, forMs: episode.forMs };
    const report = await this.#report(seen, { at, recording, guards, terms, notes, ended });
    if (!isRunaway(report.verdict)) return;
    episode.report = report;
    if (episode.endedAt !== undefined) this.#over(episode, report);
    else if (verdict === 'starved' && this.#settings.onStarved === 'kill') {
      process.kill(process.pid, 'SIGKILL'); // a spinning thread runs no handlers of other signals
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
    // A starved main thread gets its report from `#over`, when it turns again.
    else if (verdict !== 'starved') this.#link.post({ type: 'runaway', report: filed, terms });
    return filed;
  }

  /** Records that a reported runaway is over. A starved loop has then proved to be a long block. */
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

const isOver = ({ verdict }: Episode, { spinsSince, busySince }: Watch): boolean =>
  (verdict === 'hot' ? spinsSince : busySince) === undefined;

/** The verdict if the problem is over before its report: it was no runaway. */
const WHEN_OVER = { starved: 'blocked', hot: 'saturated', saturated: 'saturated' } as const;
