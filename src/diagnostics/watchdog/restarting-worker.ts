import { channel } from 'node:diagnostics_channel';
import { performance } from 'node:perf_hooks';
import { Worker } from 'node:worker_threads';
import { after } from '../../util/clock.ts';
import { DiagnosticsError, messageOf } from '../errors.ts';
import type { ToMain, ToWorker, WatchSettings } from './messages.ts';
import { workerSource } from './worker-source.ts';

/** How long the worker may take to stop, in milliseconds. Then it is terminated. */
const PATIENCE_MS = 2_000;
/** The first pause before a dead worker is started again, in milliseconds. Every further pause is twice as long. */
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 300_000;
/** If a worker ran for this long, in milliseconds, the pause after its death is the first pause again. */
const HEALTHY_AFTER_MS = 600_000;
/** The memory limit of the worker, in megabytes. Beyond it the worker dies, but the service does not. */
const MOST_MEGABYTES = 192;

/** The worker of the watchdog. If it dies, it is started again after a pause. */
export class RestartingWorker {
  readonly #settings: WatchSettings;
  readonly #onMessage: (message: ToMain) => void;
  readonly #onNote: (note: string) => void;
  #worker: Worker;
  #exited: Promise<void>;
  #startedAt = performance.now();
  #pauseMs = FIRST_PAUSE_MS;
  #cancelRestart = (): void => undefined;
  #isStopped = false;
  #awaited = 0;

  /** @throws {DiagnosticsError} DIAGNOSTICS_UNAVAILABLE if workers are not permitted. */
  constructor(settings: WatchSettings, onMessage: (message: ToMain) => void, onNote: (note: string) => void) {
    this.#settings = settings;
    this.#onMessage = onMessage;
    this.#onNote = onNote;
    [this.#worker, this.#exited] = this.#start();
  }

  post(message: ToWorker): void {
    this.#worker.postMessage(message);
  }

  /** @returns the answer of the worker, or `otherwise` if the worker dies. The process stays alive until then. */
  async awaited<T>(answer: Promise<T>, otherwise: T): Promise<T> {
    const worker = this.#worker;
    if (this.#awaited++ === 0) worker.ref();
    try {
      return await Promise.race([answer, this.#exited.then(() => otherwise)]);
    } finally {
      if (--this.#awaited === 0) worker.unref();
    }
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#cancelRestart();
    this.post({ type: 'stop' });
    const patience = setTimeout(() => void this.#worker.terminate(), PATIENCE_MS);
    await this.awaited(this.#exited, undefined);
    clearTimeout(patience);
  }

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
    worker.unref(); // the watchdog must not keep the process alive
    return [worker, exited];
  }

  #died(reason: string): void {
    if (performance.now() - this.#startedAt >= HEALTHY_AFTER_MS) this.#pauseMs = FIRST_PAUSE_MS;
    const pauseMs = this.#pauseMs;
    this.#pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
    this.#cancelRestart = after(pauseMs, () => this.#startAgain(), true);
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
 * Starts the worker from text, because `new Worker(new URL(…))` breaks in a bundle. NODE_OPTIONS and execArgv are empty,
 * because the preloads and `--inspect` of the service are not meant for the worker.
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
