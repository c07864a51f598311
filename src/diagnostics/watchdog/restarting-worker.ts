import { channel } from 'node:diagnostics_channel';
import { performance } from 'node:perf_hooks';
import { Worker } from 'node:worker_threads';
import { DiagnosticsError, messageOf } from '../errors.ts';
import type { ToMain, ToWorker, WatchSettings } from './messages.ts';
import { workerSource } from './worker-source.ts';

/** How long the worker may take to stop by itself. */
const PATIENCE_MS = 2_000;
/** The first pause before a worker that died is started again. Each further pause is twice as long. */
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 300_000;
/** A worker that lived for so long was healthy: the next pause is the first one again. */
const HEALTHY_AFTER_MS = 600_000;
/** What the worker may keep in memory, in megabytes. It dies beyond that; the service does not. */
const MOST_MEGABYTES = 192;

/** The watchdog's worker. One that dies (out of memory, an error) is started again, with a pause in between. */
export class RestartingWorker {
  readonly #settings: WatchSettings;
  readonly #onMessage: (message: ToMain) => void;
  readonly #onNote: (note: string) => void;
  #worker: Worker;
  #exited: Promise<void>;
  #startedAt = performance.now();
  #pauseMs = FIRST_PAUSE_MS;
  #restart: NodeJS.Timeout | undefined;
  #isStopped = false;

  /** @throws {DiagnosticsError} DIAGNOSTICS_UNAVAILABLE where workers are not permitted. */
  constructor(settings: WatchSettings, onMessage: (message: ToMain) => void, onNote: (note: string) => void) {
    this.#settings = settings;
    this.#onMessage = onMessage;
    this.#onNote = onNote;
    [this.#worker, this.#exited] = this.#start();
  }

  post(message: ToWorker): void {
    this.#worker.postMessage(message);
  }

  /** @returns what the worker answers, or `otherwise` if it dies. The process does not end meanwhile for want of other work. */
  async awaited<T>(answer: Promise<T>, otherwise: T): Promise<T> {
    const worker = this.#worker;
    worker.ref();
    try {
      return await Promise.race([answer, this.#exited.then(() => otherwise)]);
    } finally {
      worker.unref();
    }
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#restart);
    this.post({ type: 'stop' });
    const patience = setTimeout(() => void this.#worker.terminate(), PATIENCE_MS);
    await this.awaited(this.#exited, undefined);
    clearTimeout(patience);
  }

  /** Says something on the main thread's behalf, where the service's operator finds it. */
  warn(message: string): void {
    this.#onNote(message);
    process.emitWarning(message, { code: 'ETCD_ELECTION_WATCHDOG' });
  }

  #start(): [Worker, Promise<void>] {
    const worker = startWorker(this.#settings);
    let reason: string | undefined;
    worker.on('message', this.#onMessage);
    worker.on('error', (error) => (reason = messageOf(error)));
    const exited = new Promise<void>((resolve) => {
      worker.once('exit', (code) => {
        resolve();
        if (!this.#isStopped) this.#died(reason ?? `it exited with ${code}`);
      });
    });
    worker.unref(); // watching must not keep a process alive that has nothing else to do
    return [worker, exited];
  }

  #died(reason: string): void {
    if (performance.now() - this.#startedAt >= HEALTHY_AFTER_MS) this.#pauseMs = FIRST_PAUSE_MS;
    const pauseMs = this.#pauseMs;
    this.#pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
    this.#restart = setTimeout(() => this.#startAgain(), pauseMs).unref();
    channel('etcd-election:watchdog.died').publish({ reason, restartInMs: pauseMs });
    this.warn(`the diagnostics worker died: ${reason}; it starts again in ${pauseMs / 1000} s`);
  }

  #startAgain(): void {
    this.#startedAt = performance.now();
    try {
      [this.#worker, this.#exited] = this.#start();
      channel('etcd-election:watchdog.restarted').publish({});
    } catch (error) {
      this.#died(messageOf(error));
    }
  }
}

/**
 * From text, not from a file: `new Worker(new URL(…))` breaks in a bundle. Without NODE_OPTIONS and execArgv: the
 * service's preloads and `--inspect` are not for the worker.
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
      resourceLimits: { maxOldGenerationSizeMb: MOST_MEGABYTES },
    });
  } catch (cause) {
    throw new DiagnosticsError(
      'DIAGNOSTICS_UNAVAILABLE',
      `no worker thread can be started: ${messageOf(cause)}`,
      { cause },
    );
  }
}
