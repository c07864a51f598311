import { channel, subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { performance } from 'node:perf_hooks';
import { Worker, isMainThread } from 'node:worker_threads';
import { channelNames } from '../../logging/event-channels.ts';
import { type ElectionSource, snapshotOf } from '../elections.ts';
import { DiagnosticsError, messageOf } from '../errors.ts';
import type { ServeSettings, ToMain, ToWorker, WatchSettings } from './messages.ts';
import type { RunawayReport } from '../evidence/report.ts';
import { workerSource } from './worker-source.ts';

/** After an event, the worker is told of the elections so much later: a burst of events is one message. */
const TELL_AFTER_MS = 200;
/** How long the worker may take to stop by itself, or to open a port. */
const PATIENCE_MS = 2_000;

export interface HostOptions {
  readonly settings: WatchSettings;
  readonly source: ElectionSource;
  readonly onRunaway: (report: RunawayReport) => void;
}

/** The main thread's side: starts the worker, answers its questions, passes its reports on. Idle, it does nothing at all. */
export class WorkerHost {
  /** What cannot be done here, and why. */
  readonly notes: string[];
  readonly runaways: RunawayReport[] = [];
  metrics: (() => string | Promise<string>) | undefined;
  readonly #source: ElectionSource;
  readonly #onRunaway: (report: RunawayReport) => void;
  readonly #worker: Worker;
  readonly #waiting = new Map<number, (message: ToMain) => void>();
  readonly #exited: Promise<unknown>;
  #utilization = performance.eventLoopUtilization();
  #tell: NodeJS.Timeout | undefined;
  #lastId = 0;
  #isClosed = false;
  readonly ready: Promise<void>;

  /** @throws {DiagnosticsError} DIAGNOSTICS_UNAVAILABLE outside the main thread, or where workers are not permitted. */
  constructor({ settings, source, onRunaway }: HostOptions) {
    if (!isMainThread) {
      throw new DiagnosticsError(
        'DIAGNOSTICS_UNAVAILABLE',
        'only the main thread can be watched; start it from there',
      );
    }
    this.#source = source;
    this.#onRunaway = onRunaway;
    this.notes = limits(settings);
    this.#worker = startWorker({ ...settings, notes: this.notes });
    this.#worker.on('message', this.#receive);
    this.#worker.on('error', (error) => this.#died(messageOf(error)));
    this.#exited = once(this.#worker, 'exit').catch(() => {});
    this.ready = new Promise((resolve) => this.#waiting.set(0, () => resolve()));
    for (const name of channelNames) subscribe(name, this.#happened);
    this.#worker.unref(); // watching must not keep a process alive that has nothing else to do
  }

  /** @returns the port it listens on. */
  async serve(settings: ServeSettings): Promise<number> {
    const told = await this.#ask((id) => ({ type: 'serve', id, settings }));
    if (told.type !== 'served')
      throw new DiagnosticsError('DIAGNOSTICS_NO_ANSWER', 'the diagnostics worker has ended');
    if (told.error === undefined) return told.port;
    throw new DiagnosticsError(
      'DIAGNOSTICS_UNAVAILABLE',
      `cannot listen on ${settings.host}:${settings.port}: ${told.error}`,
    );
  }

  async unserve(): Promise<void> {
    if (!this.#isClosed) await this.#ask((id) => ({ type: 'unserve', id }));
  }

  /** @returns when it is ready; keeps the process alive until then. */
  async whenReady(): Promise<void> {
    await this.#awaited(Promise.race([this.ready, this.#exited]));
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const name of channelNames) unsubscribe(name, this.#happened);
    clearTimeout(this.#tell);
    this.#post({ type: 'stop' });
    const patience = setTimeout(() => void this.#worker.terminate(), PATIENCE_MS);
    await this.#awaited(this.#exited);
    clearTimeout(patience);
  }

  readonly #receive = (message: ToMain): void => {
    switch (message.type) {
      case 'ask':
        return this.#answer();
      case 'request':
        return void this.#reply(message);
      case 'ready':
        this.#post({ type: 'snapshot', snapshot: snapshotOf(this.#source) });
        return this.#waiting.get(0)?.(message);
      case 'served':
      case 'unserved':
        return this.#waiting.get(message.id)?.(message);
      case 'runaway':
        this.runaways.unshift(message.report);
        this.runaways.length = Math.min(this.runaways.length, 20);
        channel('etcd-election:runaway').publish(message.report);
        return this.#onRunaway(message.report);
      case 'ended':
        return channel('etcd-election:runaway.ended').publish({
          verdict: message.verdict,
          forMs: Math.round(message.forMs),
        });
    }
  };

  /** How busy the event loop was since the last question. */
  #answer(): void {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, this.#utilization);
    this.#utilization = now;
    this.#post({ type: 'answer', utilization });
    if (utilization > 0.5) this.#post({ type: 'snapshot', snapshot: snapshotOf(this.#source) });
  }

  async #reply({ id, what }: ToMain & { type: 'request' }): Promise<void> {
    let text: string | undefined;
    try {
      text = what === 'snapshot' ? JSON.stringify(snapshotOf(this.#source)) : await this.metrics?.();
    } catch (error) {
      if (what === 'metrics')
        text = `# the service's metrics failed: ${messageOf(error).replaceAll('\n', ' ')}\n`;
    }
    this.#post({ type: 'reply', id, text });
  }

  readonly #happened = (message: unknown, name: string | symbol): void => {
    if (name === 'etcd-election:guard.tripped') {
      const { election } = message as { election: string };
      this.#post({ type: 'tripped', election, snapshot: snapshotOf(this.#source) });
    }
    if (this.#tell !== undefined) return;
    this.#tell = setTimeout(() => {
      this.#tell = undefined;
      this.#post({ type: 'snapshot', snapshot: snapshotOf(this.#source) });
    }, TELL_AFTER_MS).unref();
  };

  #post(message: ToWorker): void {
    this.#worker.postMessage(message);
  }

  async #ask(message: (id: number) => ToWorker): Promise<ToMain> {
    const id = ++this.#lastId;
    const told = new Promise<ToMain>((resolve) => this.#waiting.set(id, resolve));
    this.#post(message(id));
    try {
      return await this.#awaited(
        Promise.race([told, this.#exited.then((): ToMain => ({ type: 'unserved', id }))]),
      );
    } finally {
      this.#waiting.delete(id);
    }
  }

  /** Somebody awaits the worker: until it has answered, the process must not end for want of other work. */
  async #awaited<T>(answer: Promise<T>): Promise<T> {
    this.#worker.ref();
    try {
      return await answer;
    } finally {
      this.#worker.unref();
    }
  }

  #died(reason: string): void {
    this.notes.push(`the diagnostics worker died: ${reason}`);
    process.emitWarning(`the diagnostics worker died, nothing is watched any more: ${reason}`, {
      code: 'ETCD_ELECTION_WATCHDOG',
    });
  }
}

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

/**
 * From text, not from a file: `new Worker(new URL(…))` breaks in a bundle. Without NODE_OPTIONS and execArgv: the
 * service's preloads and `--inspect` are not for us.
 */
function startWorker(settings: WatchSettings): Worker {
  const { NODE_OPTIONS: _options, NODE_V8_COVERAGE: _coverage, ...env } = process.env;
  try {
    return new Worker(workerSource, {
      eval: true,
      execArgv: [],
      env: { ...env, NODE_OPTIONS: '' },
      name: 'etcd-election watchdog',
      workerData: settings,
      resourceLimits: { maxOldGenerationSizeMb: 96 },
    });
  } catch (cause) {
    throw new DiagnosticsError(
      'DIAGNOSTICS_UNAVAILABLE',
      `no worker thread can be started: ${messageOf(cause)}`,
      { cause },
    );
  }
}
