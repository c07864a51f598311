import { channel, subscribe, unsubscribe } from 'node:diagnostics_channel';
import { performance } from 'node:perf_hooks';
import { isMainThread } from 'node:worker_threads';
import { channelNames } from '../../logging/event-channels.ts';
import { after } from '../../util/clock.ts';
import { byUrgency, type ElectionSource, snapshotOf } from '../elections.ts';
import { DiagnosticsError, messageOf } from '../errors.ts';
import type { RunawayReport } from '../evidence/report.ts';
import { type LedTerm, ledTerms } from './led-terms.ts';
import type { ServeSettings, ToMain, ToWorker, WatchSettings } from './messages.ts';
import { remember } from './reports.ts';
import { RestartingWorker } from './restarting-worker.ts';
import { Turns } from './turns.ts';

/** The least time from an event to a message for the worker, in milliseconds. So a burst of events becomes one message. */
const TELL_AFTER_MS = 200;
/**
 * The pause after a message is this many times as long as the message took to make. So messages cost little, even in a
 * process with 10,000 elections.
 */
const PAUSE_FACTOR = 50;
const LONGEST_PAUSE_MS = 5_000;
/** How many tripped guards to send to the worker. */
const MOST_GUARDS = 200;

type Metrics = () => string | Promise<string>;

export interface HostOptions {
  readonly settings: WatchSettings;
  readonly source: ElectionSource;
  readonly onRunaway: (report: RunawayReport, terms: readonly LedTerm[]) => void;
  readonly onNotice: (report: RunawayReport) => void;
}

/** Starts the worker from the main thread, answers its questions and forwards its reports. */
export class WorkerHost {
  /** See `Watchdog.notes`. */
  readonly notes: string[];
  readonly runaways: RunawayReport[] = [];
  readonly notices: RunawayReport[] = [];
  readonly #options: HostOptions;
  readonly #worker: RestartingWorker;
  readonly #turns = new Turns();
  readonly #waiting = new Map<number, (message: ToMain) => void>();
  /** The settings of the open servers. A restarted worker opens them again. */
  readonly #serving = new Map<number, ServeSettings>();
  readonly #metrics = new Map<number, Metrics | undefined>();
  #cancelTell: (() => void) | undefined;
  #pauseMs = TELL_AFTER_MS;
  #toldAt = -Infinity;
  /** Elections whose guard tripped since the last message, unless etcd or the network was the cause. */
  readonly #tripped = new Set<string>();
  #lastId = 0;
  #isClosed = false;
  /** How many servers use this host, plus one if `startWatchdog()` started it. */
  users = 0;
  readonly #ready: Promise<unknown>;

  /** @throws {DiagnosticsError} DIAGNOSTICS_UNAVAILABLE outside the main thread, or if workers are not permitted. */
  constructor(options: HostOptions) {
    if (!isMainThread) {
      throw new DiagnosticsError(
        'DIAGNOSTICS_UNAVAILABLE',
        'only the main thread can be watched; start the watchdog there',
      );
    }
    this.#options = options;
    this.notes = limits(options.settings);
    this.#worker = new RestartingWorker({ ...options.settings, notes: this.notes }, this.#receive, (text) => {
      this.notes.push(text);
      if (this.notes.length > MOST_NOTES) this.notes.splice(MOST_NOTES / 2, 1);
    });
    this.#ready = new Promise((resolve) => this.#waiting.set(READY, resolve));
    for (const name of channelNames) subscribe(name, this.#happened);
  }

  /** @returns the number of the server, and the port it listens on. */
  async serve(
    wanted: Omit<ServeSettings, 'server' | 'hasMetrics'>,
    metrics: Metrics | undefined,
  ): Promise<{ server: number; port: number }> {
    const server = ++this.#lastId;
    const settings = { ...wanted, server, hasMetrics: metrics !== undefined };
    this.#metrics.set(server, metrics);
    try {
      const port = await this.#serve(settings);
      this.#serving.set(server, { ...settings, port });
      return { server, port };
    } catch (error) {
      this.#metrics.delete(server);
      throw error;
    }
  }

  async unserve(server: number): Promise<void> {
    this.#serving.delete(server);
    this.#metrics.delete(server);
    if (!this.#isClosed) await this.#ask((id) => ({ type: 'unserve', id, server }));
  }

  /** Resolves when the worker is ready, or dies first. Keeps the process alive until then. */
  async whenReady(): Promise<void> {
    await this.#worker.awaited(this.#ready, undefined);
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const name of channelNames) unsubscribe(name, this.#happened);
    this.#cancelTell?.();
    await this.#worker.stop();
  }

  readonly #receive = (message: ToMain): void => {
    switch (message.type) {
      case 'ask':
        return this.#answer();
      case 'request':
        return void this.#reply(message);
      case 'ready':
        this.#tellElections();
        this.#waiting.get(READY)?.(message);
        return void this.#serveAgain();
      case 'served':
      case 'unserved':
        return this.#waiting.get(message.id)?.(message);
      case 'runaway':
        remember(this.runaways, message.report);
        channel('etcd-election:runaway').publish(message.report);
        return this.#options.onRunaway(message.report, message.terms);
      case 'notice':
        remember(this.notices, message.report);
        channel('etcd-election:watchdog.notice').publish(message.report);
        return this.#options.onNotice(message.report);
      case 'ended':
        return channel('etcd-election:runaway.ended').publish({
          verdict: message.verdict,
          forMs: Math.round(message.forMs),
        });
    }
  };

  #answer(): void {
    const turning = this.#turns.sinceLastTime();
    this.#worker.post({ type: 'answer', ...turning });
    if (turning.utilization > 0.5 && performance.now() >= this.#toldAt + this.#pauseMs) this.#tellElections();
  }

  async #reply({ id, what, server }: ToMain & { type: 'request' }): Promise<void> {
    let text: string | undefined;
    try {
      text =
        what === 'snapshot'
          ? JSON.stringify(snapshotOf(this.#options.source))
          : await this.#metrics.get(server)?.();
    } catch (error) {
      if (what === 'metrics')
        text = `# the service's metrics failed: ${messageOf(error).replaceAll('\n', ' ')}\n`;
    }
    this.#worker.post({ type: 'reply', id, text });
  }

  /**
   * Plans a message to the worker after an event. The message is delayed, because it needs a read of all elections.
   * Thousands of elections may have events in one turn.
   */
  readonly #happened = (message: unknown, name: string | symbol): void => {
    const { election, origin } = message as { election: string; origin?: string };
    // A trip that etcd or the network caused is not a runaway of the service.
    if (name === 'etcd-election:guard.tripped' && origin !== 'environment') this.#tripped.add(election);
    this.#cancelTell ??= after(this.#pauseMs, () => this.#tell(), true);
  };

  #tell(): void {
    this.#cancelTell = undefined;
    this.#tellElections();
    this.#tellTripped();
  }

  #tellElections(): void {
    const { source } = this.#options;
    const begunAt = performance.now();
    this.#worker.post({ type: 'elections', snapshot: snapshotOf(source), led: ledTerms(source) });
    this.#toldAt = performance.now();
    const tookMs = this.#toldAt - begunAt;
    this.#pauseMs = Math.min(Math.max(TELL_AFTER_MS, tookMs * PAUSE_FACTOR), LONGEST_PAUSE_MS);
  }

  #tellTripped(): void {
    const elections = [...this.#tripped];
    if (elections.length === 0) return;
    const all = this.#options.source.guards().filter(({ election }) => this.#tripped.has(election));
    this.#tripped.clear();
    const guards = all.sort(byUrgency).slice(0, MOST_GUARDS);
    this.#worker.post({ type: 'tripped', elections, guards });
  }

  async #serve(settings: ServeSettings): Promise<number> {
    const told = await this.#ask((id) => ({ type: 'serve', id, settings }));
    if (told.type !== 'served')
      throw new DiagnosticsError('DIAGNOSTICS_NO_ANSWER', 'the diagnostics worker has ended');
    if (told.error === undefined) return told.port;
    throw new DiagnosticsError(
      'DIAGNOSTICS_UNAVAILABLE',
      `cannot listen on ${settings.host}:${settings.port}: ${told.error}`,
    );
  }

  async #serveAgain(): Promise<void> {
    for (const settings of this.#serving.values())
      try {
        await this.#serve(settings);
      } catch (error) {
        this.#worker.warn(`the diagnostics pages are not served any more: ${messageOf(error)}`);
      }
  }

  async #ask(message: (id: number) => ToWorker): Promise<ToMain> {
    const id = ++this.#lastId;
    const told = new Promise<ToMain>((resolve) => this.#waiting.set(id, resolve));
    this.#worker.post(message(id));
    try {
      return await this.#worker.awaited(told, { type: 'unserved', id });
    } finally {
      this.#waiting.delete(id);
    }
  }
}

/** The message `ready` answers no question. It has this number in `#waiting`. */
const READY = 0;
const MOST_NOTES = 20;

function limits(settings: WatchSettings): string[] {
  const notes = [...settings.notes];
  if (settings.whyNoProfile !== undefined) notes.push(`no CPU profiles: ${settings.whyNoProfile}`);
  else if (process.getBuiltinModule('node:inspector')?.url() !== undefined) {
    notes.push(
      'the inspector is open (--inspect): a debugger may pause the main thread, or take its own profiles',
    );
  }
  if (!settings.deoptimise)
    notes.push(
      'NODE_V8_COVERAGE is set: if a loop began before the profile, the profile may name only the caller of the loop',
    );
  return notes;
}
