import { channel, subscribe, unsubscribe } from 'node:diagnostics_channel';
import { isMainThread } from 'node:worker_threads';
import { channelNames } from '../../logging/event-channels.ts';
import { type ElectionSource, snapshotOf } from '../elections.ts';
import { DiagnosticsError, messageOf } from '../errors.ts';
import type { RunawayReport } from '../evidence/report.ts';
import type { LedTerm } from './led-terms.ts';
import type { ServeSettings, ToMain, ToWorker, WatchSettings } from './messages.ts';
import { remember } from './reports.ts';
import { RestartingWorker } from './restarting-worker.ts';
import { Turns } from './turns.ts';

/** How long after an event the worker gets the elections. So a burst of events becomes one message. */
const TELL_AFTER_MS = 200;

export interface HostOptions {
  readonly settings: WatchSettings;
  readonly source: ElectionSource;
  readonly onRunaway: (report: RunawayReport, terms: readonly LedTerm[]) => void;
  readonly onNotice: (report: RunawayReport) => void;
}

/** The main thread's end of the connection: it starts the worker, answers its questions and forwards its reports. */
export class WorkerHost {
  /** What is unavailable here, and why. */
  readonly notes: string[];
  readonly runaways: RunawayReport[] = [];
  readonly notices: RunawayReport[] = [];
  metrics: (() => string | Promise<string>) | undefined;
  readonly #options: HostOptions;
  readonly #worker: RestartingWorker;
  readonly #turns = new Turns();
  readonly #waiting = new Map<number, (message: ToMain) => void>();
  /** What is served, so that a restarted worker serves it too. */
  #serving: ServeSettings | undefined;
  #tell: NodeJS.Timeout | undefined;
  #lastId = 0;
  #isClosed = false;
  readonly #ready: Promise<unknown>;

  /** @throws {DiagnosticsError} DIAGNOSTICS_UNAVAILABLE outside the main thread, or if workers are not permitted. */
  constructor(options: HostOptions) {
    if (!isMainThread) {
      throw new DiagnosticsError(
        'DIAGNOSTICS_UNAVAILABLE',
        'only the main thread can be watched; start it from there',
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

  /** @returns the port it listens on. */
  async serve(settings: ServeSettings): Promise<number> {
    const port = await this.#serve(settings);
    this.#serving = { ...settings, port };
    return port;
  }

  async unserve(): Promise<void> {
    this.#serving = undefined;
    if (!this.#isClosed) await this.#ask((id) => ({ type: 'unserve', id }));
  }

  /** Resolves when the worker is ready. It keeps the process alive until then. */
  async whenReady(): Promise<void> {
    await this.#worker.awaited(this.#ready, undefined);
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const name of channelNames) unsubscribe(name, this.#happened);
    clearTimeout(this.#tell);
    await this.#worker.stop();
  }

  readonly #receive = (message: ToMain): void => {
    switch (message.type) {
      case 'ask':
        return this.#answer();
      case 'request':
        return void this.#reply(message);
      case 'ready':
        this.#worker.post({ type: 'snapshot', snapshot: snapshotOf(this.#options.source) });
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
    if (turning.utilization > 0.5)
      this.#worker.post({ type: 'snapshot', snapshot: snapshotOf(this.#options.source) });
  }

  async #reply({ id, what }: ToMain & { type: 'request' }): Promise<void> {
    let text: string | undefined;
    try {
      text = what === 'snapshot' ? JSON.stringify(snapshotOf(this.#options.source)) : await this.metrics?.();
    } catch (error) {
      if (what === 'metrics')
        text = `# the service's metrics failed: ${messageOf(error).replaceAll('\n', ' ')}\n`;
    }
    this.#worker.post({ type: 'reply', id, text });
  }

  readonly #happened = (message: unknown, name: string | symbol): void => {
    if (name === 'etcd-election:guard.tripped') {
      const { election, origin } = message as { election: string; origin?: string };
      // If etcd or the network is the cause, the code of the service does not run away.
      if (origin !== 'environment')
        this.#worker.post({ type: 'tripped', election, snapshot: snapshotOf(this.#options.source) });
    }
    if (this.#tell !== undefined) return;
    this.#tell = setTimeout(() => {
      this.#tell = undefined;
      this.#worker.post({ type: 'snapshot', snapshot: snapshotOf(this.#options.source) });
    }, TELL_AFTER_MS).unref();
  };

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

  /** Serves on the same port as before. */
  async #serveAgain(): Promise<void> {
    if (this.#serving === undefined) return;
    try {
      await this.#serve(this.#serving);
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

/** The number of the question that the message `ready` answers. */
const READY = 0;
const MOST_NOTES = 20;

function limits(settings: WatchSettings): string[] {
  const notes = [...settings.notes];
  if (settings.whyNoProfile !== undefined) notes.push(`no CPU profiles: ${settings.whyNoProfile}`);
  else if (process.getBuiltinModule('node:inspector')?.url() !== undefined) {
    notes.push(
      'the inspector is open (--inspect): a debugger may pause the main thread, or take profiles of its own',
    );
  }
  if (!settings.deoptimise)
    notes.push('NODE_V8_COVERAGE is set: a function that was compiled before a profile may not be named');
  return notes;
}
