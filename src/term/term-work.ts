/**
 * What runs in one term: the work of `onLeader`, what was registered with the term, and its clean-ups. The end of the
 * term waits for all of it.
 */
import type { CallbackFrames } from '../util/callback-frames.ts';
import { Deferred } from '../util/deferred.ts';
import { settledWithin } from '../util/settle.ts';
import { LeadershipLostError } from '../errors.ts';
import type { CallbackName } from '../events.ts';
import type { LiveTerm } from './live-term.ts';
import type { CleanUp, Term } from './term.ts';
import { clock } from '../util/clock.ts';

export type { CallbackName };

export interface WorkListener {
  /** How long the end of a term waits in all, in milliseconds. */
  readonly drainTimeoutMs: number;
  /** Whether `onLeader` only starts what `onFollower` stops: when it has returned, the term has its work. */
  readonly isPair: boolean;
  /** A callback threw or rejected, and not because the term is over. */
  onError(callback: CallbackName, error: unknown): void;
  /** The work failed: the term must end. */
  onFailed(): void;
  /** Nothing runs that we know of, and the term goes on. @param isPair says that what `onLeader` started may run. */
  onIdle(isPair: boolean): void;
}

interface Running {
  readonly callback: CallbackName;
  /** It said that it is done: the end of the term does not wait for it. */
  isExcused: boolean;
  /** Resolves when it has settled, or said that it is done. */
  readonly done: Deferred<void>;
}

/** How deep an error's causes are looked through for the end of the term. */
const DEEPEST_CAUSE = 8;

export class TermWork {
  readonly #frames: CallbackFrames;
  readonly #listener: WorkListener;
  readonly #running = new Map<string, Running>();
  readonly #cleanUps: (() => unknown)[] = [];
  readonly #term: LiveTerm;
  /** How many jobs of `every()` go on. */
  jobs = 0;
  #isCleaning = false;
  #hasBegun = false;
  /** For callers that wait until no work that counts runs; made with the first of them. */
  #drained: Deferred<void> | undefined;
  #settled: Deferred<void> | undefined;

  constructor(term: LiveTerm, frames: CallbackFrames, listener: WorkListener) {
    this.#term = term;
    this.#frames = frames;
    this.#listener = listener;
  }

  /** Whether something runs that the end of the term waits for. */
  get isBusy(): boolean {
    for (const { isExcused } of this.#running.values()) if (!isExcused) return true;
    return this.#isCleaning;
  }

  /** Whether anything runs. */
  get isRunning(): boolean {
    return this.#running.size > 0 || this.#isCleaning;
  }

  /** Whether the term has work: something runs, or something is to be stopped or cleaned up at its end. */
  get isWorking(): boolean {
    return this.isRunning || this.#cleanUps.length > 0 || (this.#hasBegun && this.#listener.isPair);
  }

  /** How much runs, or waits for the end of the term. */
  get registered(): number {
    return this.#running.size + this.#cleanUps.length;
  }

  /** Names of the callbacks that run, each once. */
  get names(): CallbackName[] {
    return [...new Set([...this.#running.values()].map(({ callback }) => callback))];
  }

  /** Calls `onLeader`; what it returns is cleaned up at the end of the term, if it can be. */
  begin(onLeader: (term: Term) => unknown): void {
    this.#hasBegun = true;
    void this.#run('onLeader', async () => {
      const result: unknown = await onLeader(this.#term);
      if (isCleanUp(result)) this.onEnd(result);
    });
  }

  /** Registers work: it is awaited at the end of the term, and its failure ends the term. */
  run<T>(work: PromiseLike<T> | ((term: Term) => T | PromiseLike<T>)): Promise<T> {
    return this.#run('run', () => {
      if (typeof work !== 'function') return work;
      if (this.#term.isOver) throw this.#term.lost();
      return work(this.#term);
    }) as Promise<T>;
  }

  /** Runs a job at once and then at an interval, never beside itself, until the term is over. */
  every(ms: number, job: (term: Term) => unknown): void {
    const term = this.#term;
    const repeat = async (): Promise<void> => {
      while (term.isCurrent()) {
        const startedAtMs = clock.now();
        await job(term);
        await clock.sleep(Math.max(1, startedAtMs + ms - clock.now()), term.signal);
      }
    };
    const over = (): void => void this.jobs--;
    this.jobs++;
    this.#run('every', repeat).then(over, over);
  }

  /** Registers a clean-up, to be called when the term ends; at once if it has ended. */
  onEnd(cleanUp: CleanUp): void {
    this.#cleanUps.push(callOf(cleanUp));
    if (this.#term.isOver) this.end();
  }

  /** Calls a listener of the signal. What it does asynchronously is awaited at the end of the term, like a clean-up. */
  hear(listener: () => unknown): void {
    try {
      const result = listener();
      if (isPromise(result)) void this.#run('onAbort', () => result).catch(() => undefined); // noted
    } catch (error) {
      this.#note(error, 'onAbort');
    }
  }

  /** The term is over, and its signal has aborted: cleans up, the last registered first. */
  end(): void {
    if (this.#isCleaning || this.#cleanUps.length === 0) return;
    this.#isCleaning = true;
    void this.#cleanUp();
  }

  /**
   * Calls every clean-up, one after another. One that takes longer than its share of the time that is left goes on beside
   * the next: whatever hangs, each one is called before the drain is over.
   */
  async #cleanUp(): Promise<void> {
    const untilMs = clock.now() + this.#listener.drainTimeoutMs;
    for (let next = this.#cleanUps.pop(); next !== undefined; next = this.#cleanUps.pop()) {
      const shareMs = (untilMs - clock.now()) / (this.#cleanUps.length + 1);
      const frame = this.#frames.newName();
      void this.#run('onEnd', next, frame).catch(() => undefined); // noted
      const done = this.#running.get(frame)?.done.promise;
      if (done !== undefined && this.#cleanUps.length > 0) await settledWithin(done, shareMs);
    }
    this.#isCleaning = false;
    this.#tell();
  }

  /** The callback in this frame is done as far as the term is concerned: it waits for the end of the term itself. */
  excuse(frame: string): void {
    const running = this.#running.get(frame);
    if (running === undefined) return;
    running.isExcused = true;
    running.done.resolve();
    this.#tell();
  }

  /** Resolves when nothing runs that the end of the term waits for. */
  async drained(): Promise<void> {
    if (this.isBusy) await (this.#drained ??= new Deferred()).promise;
  }

  /** Resolves when nothing runs, however long that takes. */
  async settled(): Promise<void> {
    if (this.isRunning) await (this.#settled ??= new Deferred()).promise;
  }

  #run<T>(callback: CallbackName, fn: () => T, frame = this.#frames.newName()): Promise<Awaited<T>> {
    this.#running.set(frame, { callback, isExcused: false, done: new Deferred() });
    const running = this.#frames.run(frame, fn);
    running.then(
      () => this.#end(frame),
      (error: unknown) => {
        this.#note(error, callback);
        if (!this.#term.isOver) this.#listener.onFailed();
        this.#end(frame);
      },
    );
    return running;
  }

  #end(frame: string): void {
    this.#running.get(frame)?.done.resolve();
    this.#running.delete(frame);
    this.#tell();
    const isIdle = !this.isRunning && this.#cleanUps.length === 0;
    if (isIdle && !this.#term.isOver) this.#listener.onIdle(this.isWorking);
  }

  #tell(): void {
    if (!this.isBusy) {
      this.#drained?.resolve();
      this.#drained = undefined;
    }
    if (!this.isRunning) {
      this.#settled?.resolve();
      this.#settled = undefined;
    }
  }

  #note(error: unknown, callback: CallbackName): void {
    if (!isOrderlyEnd(error, this.#term)) this.#listener.onError(callback, error);
  }
}

/** Whether an error only says that the term is over: its own error, or an abort that it caused. */
function isOrderlyEnd(error: unknown, term: LiveTerm): boolean {
  try {
    let cause = error;
    for (let depth = 0; depth < DEEPEST_CAUSE && cause instanceof Error; depth++) {
      if (cause instanceof LeadershipLostError && cause.fencingToken === term.fencingToken) return true;
      if (term.isOver && isAbort(cause)) return true;
      cause = cause.cause;
    }
  } catch {
    // Anything can be thrown, also an object whose properties throw. The failure counts all the same.
  }
  return false;
}

/** Older interfaces abort without saying why. After the end of the term it is the end of the term. */
const isAbort = (error: Error): boolean => error.name === 'AbortError' && error.cause === undefined;

const isPromise = (value: unknown): value is PromiseLike<unknown> =>
  typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';

export const isCleanUp = (value: unknown): value is CleanUp =>
  typeof value === 'function' ||
  (typeof value === 'object' && value !== null && (Symbol.asyncDispose in value || Symbol.dispose in value));

function callOf(cleanUp: CleanUp): () => unknown {
  if (typeof cleanUp === 'function') return cleanUp;
  return Symbol.asyncDispose in cleanUp
    ? () => cleanUp[Symbol.asyncDispose]()
    : () => cleanUp[Symbol.dispose]();
}
