/**
 * Tracks what runs in one term: the work of `onLeader`, everything registered with the term, and its clean-ups. The
 * end of the term waits for all of these.
 */
import { AsyncResource } from 'node:async_hooks';
import type { CallbackFrames } from '../util/callback-frames.ts';
import { Deferred } from '../util/deferred.ts';
import { isPromise, settledWithin } from '../util/settle.ts';
import { LeadershipLostError } from '../errors.ts';
import type { CallbackName } from '../events.ts';
import type { CleanUp, Term } from './term.ts';
import { clock } from '../util/clock.ts';

/** The term, with members for this library. Reading these does not count as use by the program. */
export interface WorkingTerm extends Term {
  readonly isOver: boolean;
  /** Milliseconds until the deadline of the lease. */
  readonly leftMs: number;
  /** Aborts at the end of the term. */
  readonly endSignal: AbortSignal;
  /** The error that tells the program that the term is over. */
  lost(): LeadershipLostError;
}

export interface WorkListener {
  /** How long the end of a term waits for everything together, in milliseconds. */
  readonly drainTimeoutMs: number;
  /** Whether `onFollower` stops what `onLeader` starts. If so, the term has work although `onLeader` has returned. */
  isPair(): boolean;
  /** A callback threw or rejected for a reason other than the end of the term. */
  onError(callback: CallbackName, error: unknown): void;
  /** The work failed: the term must end. */
  onFailed(): void;
  /** No known work runs, and the term continues. @param isPair whether something that `onLeader` started may still run. */
  onIdle(isPair: boolean): void;
}

interface Running {
  readonly callback: CallbackName;
  /** Whether the end of the term does not wait for this callback. */
  isExcused: boolean;
  /** Resolves when the callback has settled or is excused. */
  readonly done: Deferred<void>;
}

/** How deep a chain of causes is searched for an error that only says that the term is over. */
const DEEPEST_CAUSE = 8;

export class TermWork {
  readonly #frames: CallbackFrames;
  readonly #listener: WorkListener;
  readonly #running = new Map<string, Running>();
  readonly #cleanUps: (() => unknown)[] = [];
  readonly #term: WorkingTerm;
  /** How many jobs of `every()` are registered. */
  jobs = 0;
  #isCleaning = false;
  /** The value that `onLeader` returned, if it is not a clean-up. */
  returned: unknown;
  #hasBegun = false;
  /** Created for the first caller of {@link drained}. */
  #drained: Deferred<void> | undefined;
  #settled: Deferred<void> | undefined;

  constructor(term: WorkingTerm, frames: CallbackFrames, listener: WorkListener) {
    this.#term = term;
    this.#frames = frames;
    this.#listener = listener;
  }

  /** Whether the end of the term must wait. */
  get isBusy(): boolean {
    for (const { isExcused } of this.#running.values()) if (!isExcused) return true;
    return this.#isCleaning;
  }

  get isRunning(): boolean {
    return this.#running.size > 0 || this.#isCleaning;
  }

  /** Whether the term has work: something runs, or has to be stopped or cleaned up at the end. */
  get isWorking(): boolean {
    return this.isRunning || this.#cleanUps.length > 0 || (this.#hasBegun && this.#listener.isPair());
  }

  /** How many pieces of work run, plus how many clean-ups wait for the end of the term. */
  get registered(): number {
    return this.#running.size + this.#cleanUps.length;
  }

  get names(): CallbackName[] {
    return [...new Set([...this.#running.values()].map(({ callback }) => callback))];
  }

  /** Calls `onLeader`. If it returns a function, a disposable object or an array of these, they become clean-ups. */
  begin(onLeader: (term: Term) => unknown): void {
    this.#hasBegun = true;
    void this.#run('onLeader', async () => {
      const result: unknown = await onLeader(this.#term);
      const cleanUps: unknown[] = Array.isArray(result) ? result : [result];
      if (cleanUps.every(isCleanUp)) for (const cleanUp of cleanUps) this.onEnd(cleanUp);
      else this.returned = result;
    });
  }

  run<T>(work: PromiseLike<T> | ((term: Term) => T | PromiseLike<T>)): Promise<T> {
    return this.#run('run', () => {
      if (typeof work !== 'function') return work;
      if (this.#term.leftMs <= 0) throw this.#term.lost();
      return work(this.#term);
    }) as Promise<T>;
  }

  /** Runs a job at once and then every `ms` milliseconds, never twice at a time, until the term is over. */
  every(ms: number, job: (term: Term) => unknown): void {
    const term = this.#term;
    const repeat = async (): Promise<void> => {
      // `isCurrent()` would count as a check by the program, and it throws if it is called too often.
      while (term.leftMs > 0) {
        const startedAtMs = clock.now();
        await job(term);
        await clock.sleep(Math.max(1, startedAtMs + ms - clock.now()), term.endSignal);
      }
    };
    const over = (): void => void this.jobs--;
    this.jobs++;
    this.#run('every', repeat).then(over, over);
  }

  /**
   * Registers a clean-up for the end of the term; calls it at once, or after a clean-up that is running, if the term has
   * ended. The clean-up keeps the async context of this call, because the term may end in the context of another
   * election.
   */
  onEnd(cleanUp: CleanUp): void {
    this.#cleanUps.push(AsyncResource.bind(callOf(cleanUp)));
    if (this.#term.isOver) this.cleanUp();
  }

  /** Calls a listener of the signal. The end of the term awaits the promise that the listener returns. */
  callAbortListener(listener: () => unknown): void {
    try {
      const result = listener();
      if (isPromise(result)) void this.#run('onAbort', () => result).catch(() => undefined); // #run reports it
    } catch (error) {
      this.#note(error, 'onAbort');
    }
  }

  /** Runs the clean-ups. Called when the term is over and its signal has aborted. */
  cleanUp(): void {
    if (this.#isCleaning || this.#cleanUps.length === 0) return;
    this.#isCleaning = true;
    void this.#runCleanUps();
  }

  /**
   * Calls the clean-ups one after another, the last registered first. If one takes longer than its share of the
   * remaining time, the next one is called meanwhile. So every clean-up is called before the drain is over, even if
   * one hangs.
   */
  async #runCleanUps(): Promise<void> {
    const untilMs = clock.now() + this.#listener.drainTimeoutMs;
    for (let next = this.#cleanUps.pop(); next !== undefined; next = this.#cleanUps.pop()) {
      const shareMs = (untilMs - clock.now()) / (this.#cleanUps.length + 1);
      const frame = this.#frames.newName();
      void this.#run('onEnd', next, frame).catch(() => undefined); // #run reports it
      const done = this.#running.get(frame)?.done.promise;
      if (done !== undefined && this.#cleanUps.length > 0) await settledWithin(done, shareMs);
    }
    this.#isCleaning = false;
    this.#tell();
  }

  /** Stops waiting for the callback in this frame, because the callback itself waits for the end of the term. */
  excuse(frame: string): void {
    const running = this.#running.get(frame);
    if (running === undefined) return;
    running.isExcused = true;
    running.done.resolve();
    this.#tell();
  }

  /** Resolves when the end of the term need not wait any more. */
  async drained(): Promise<void> {
    if (this.isBusy) await (this.#drained ??= new Deferred()).promise;
  }

  /** Resolves when nothing runs any more. Has no time limit. */
  async settled(): Promise<void> {
    if (this.isRunning) await (this.#settled ??= new Deferred()).promise;
  }

  #run<T>(callback: CallbackName, fn: () => T, frame = this.#frames.newName()): Promise<Awaited<T>> {
    this.#running.set(frame, { callback, isExcused: false, done: new Deferred() });
    const running = this.#frames.run(frame, fn);
    running.then(
      () => this.#finished(frame),
      (error: unknown) => {
        this.#note(error, callback);
        if (!this.#term.isOver) this.#listener.onFailed();
        this.#finished(frame);
      },
    );
    return running;
  }

  #finished(frame: string): void {
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

/**
 * Whether an error only says that the term is over. Such an error is the term's own, or an abort that the end of the term
 * caused.
 */
function isOrderlyEnd(error: unknown, term: WorkingTerm): boolean {
  try {
    let cause = error;
    for (let depth = 0; depth < DEEPEST_CAUSE && cause instanceof Error; depth++) {
      if (cause instanceof LeadershipLostError && isOf(cause, term)) return true;
      if (term.isOver && isAbort(cause)) return true;
      cause = cause.cause;
    }
  } catch {
    // Properties of a thrown object can throw too. Then the error counts as a failure.
  }
  return false;
}

/** Elections that enter in one transaction have the same token, so the name is compared too. */
const isOf = ({ election, fencingToken }: LeadershipLostError, term: WorkingTerm): boolean =>
  fencingToken === term.fencingToken && election === term.election;

/**
 * An abort without a cause, as older interfaces throw it. After the end of the term, we assume that the end caused
 * the abort.
 */
const isAbort = (error: Error): boolean => error.name === 'AbortError' && error.cause === undefined;

export const isCleanUp = (value: unknown): value is CleanUp =>
  typeof value === 'function' ||
  (typeof value === 'object' && value !== null && (Symbol.asyncDispose in value || Symbol.dispose in value));

function callOf(cleanUp: CleanUp): () => unknown {
  if (typeof cleanUp === 'function') return cleanUp;
  return Symbol.asyncDispose in cleanUp
    ? () => cleanUp[Symbol.asyncDispose]()
    : () => cleanUp[Symbol.dispose]();
}
