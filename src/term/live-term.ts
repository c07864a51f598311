/**
 * The implementation of `Term`. A term ends once. Until then `isCurrent()` compares the deadline with the clock.
 */
import { inspect, type InspectOptions } from 'node:util';
import type { ComparatorBuilder } from 'etcd3';
import type { CallbackFrames } from '../util/callback-frames.ts';
import { originOf, type Candidacy, type EndCause } from '../core/campaign-state.ts';
import { jsonOf } from '../core/json.ts';
import { shown } from '../core/shown.ts';
import { InvalidInputError, LeadershipLostError, UnavailableError } from '../errors.ts';
import type { PublicFunction } from '../loop-guard/call-site.ts';
import type { CallLimiter } from '../loop-guard/call-limits.ts';
import type { CleanUp, SettledWrite, Term, TxnOptions } from './term.ts';
import { termSignal } from './term-signal.ts';
import { isCleanUp, TermWork, type WorkingTerm, type WorkListener } from './term-work.ts';
import { clock } from '../util/clock.ts';
import { noteReadUncalled } from '../util/read-uncalled.ts';

/** The parts of the campaign that a term uses. */
export interface TermLife extends WorkListener {
  readonly frames: CallbackFrames;
  readonly callers: CallLimiter;
  stepDown(): void;
  resign(): void;
  /** The program uses the term after its end: it asks whether the term is current, or reads its signal. */
  askedAfterEnd(): void;
  /** `isCurrent` was read, and not called. */
  uncalled(): void;
  /** A write has found that our key is gone. */
  evicted(): void;
  proclaiming(value: string, proclaim: () => Promise<void>): Promise<void>;
}

export interface TermTools {
  remainingMs(): number;
  /** Until when our lease is valid, on our clock. */
  readonly validUntilMs: number;
  /** @throws {InvalidInputError} or {@link LeadershipLostError} synchronously, if the fault is known without asking etcd. */
  proclaim(term: LiveTerm, value: string): Promise<void>;
  txn(term: LiveTerm, options?: TxnOptions): ComparatorBuilder;
  put(
    term: LiveTerm,
    key: string | Uint8Array,
    value: string | Uint8Array,
    options?: TxnOptions,
  ): Promise<void>;
  delete(term: LiveTerm, key: string | Uint8Array, options?: TxnOptions): Promise<void>;
  settle(term: LiveTerm, writeId: string): Promise<SettledWrite>;
  ended(): void;
  /** No write begins any more. */
  closed(): void;
}

/** How many pieces of work and clean-ups may be registered at once. Each costs memory. */
const MOST_REGISTERED = 10_000;

/** How many jobs of `every()` may be registered. Each has a timer and a listener. */
const MOST_JOBS = 1_000;

/** The longest delay of a Node timer, in milliseconds. */
const LONGEST_INTERVAL_MS = 2 ** 31 - 1;

/**
 * As an own property, this function makes `postMessage()` refuse the term, with an error that quotes the function.
 * Otherwise a worker thread would get a term without methods.
 */
const staysInItsThread = (): string =>
  'a term cannot leave its thread: send term.fencingToken, and stop the worker in term.onEnd()';

export class LiveTerm implements WorkingTerm {
  readonly staysInItsThread: () => string = staysInItsThread;
  readonly election: string;
  readonly key: string;
  readonly leaseId: string;
  readonly fencingToken: bigint;
  readonly startedAtMs: number = clock.now();
  /** When the work began, or reported progress; undefined while `onFollower` still delays the work. */
  #progressAtMs: number | undefined;
  #isResting = false;
  /** When the term ended; undefined before. If the process stood still at that time, this is the deadline. */
  endedAtMs: number | undefined;
  /** When this process noticed the end. After a freeze, that is later than {@link endedAtMs}. */
  noticedAtMs: number | undefined;
  value: string;
  /** Whether the program has used the term: asked whether it is current, read `signal`, written, or registered work. */
  isUsed = false;
  /** Whether the program has read {@link signal}, and so may listen for the end of the term. */
  isListenedTo = false;
  /** Whether the event log already says that the program uses this ended term, although a newer one has begun. */
  isStaleTold = false;
  readonly #tools: TermTools;
  readonly #callers: CallLimiter;
  readonly #life: TermLife;
  readonly work: TermWork;
  /** Created on first use, because most terms end without a listener. */
  #ending: AbortController | undefined;
  #endedBecause: EndCause | undefined;
  /** Whether the term is over but its key still exists, as far as we know. */
  #isDraining = false;
  #lost: LeadershipLostError | undefined;

  static {
    noteReadUncalled(this.prototype, 'isCurrent', (term) => term.#life.uncalled());
    Object.defineProperty(this.prototype, inspect.custom, {
      value(this: LiveTerm, _depth: number, options: InspectOptions) {
        return `Term ${inspect(this.#facts(), options)}`;
      },
    });
  }

  constructor(election: string, candidacy: Candidacy, value: string, tools: TermTools, life: TermLife) {
    this.election = election;
    this.key = candidacy.key;
    this.leaseId = candidacy.leaseId;
    this.fencingToken = candidacy.createRevision;
    this.value = value;
    this.#tools = tools;
    this.#life = life;
    this.#callers = life.callers;
    this.work = new TermWork(this, life.frames, life);
  }

  get signal(): AbortSignal {
    this.isUsed = true;
    this.isListenedTo = true;
    if (this.isOver) this.#life.askedAfterEnd();
    return this.endSignal;
  }

  /** Like {@link signal}, but does not count as use by the program. */
  get endSignal(): AbortSignal {
    if (this.#ending === undefined) {
      this.#ending = termSignal((listener) => this.work.callAbortListener(listener));
      if (this.isOver) this.#ending.abort(this.lost());
    }
    return this.#ending.signal;
  }

  /** Whether the term has been ended. The deadline may pass before that. */
  get isOver(): boolean {
    return this.#endedBecause !== undefined;
  }

  isCurrent(): boolean {
    return this.remainingMs() > 0;
  }

  assertCurrent(): void {
    if (this.isCurrent()) return;
    this.#callers.count('fail');
    throw this.lost();
  }

  remainingMs(): number {
    this.isUsed = true;
    const { leftMs } = this;
    if (leftMs > 0) return leftMs;
    this.#callers.countLook(); // a loop that continues after the end must not block the event loop for ever
    if (this.isOver) this.#life.askedAfterEnd();
    return 0;
  }

  /** Like {@link remainingMs}, but does not count as use by the program. */
  get leftMs(): number {
    return this.isOver ? 0 : this.#tools.remainingMs();
  }

  /** Whether a fenced write may be sent. The lease must be valid by the clock, and the term must be current or in its drain. */
  holdsKey(): boolean {
    return (this.#isDraining && this.#tools.remainingMs() > 0) || this.isCurrent();
  }

  /**
   * Refuses further writes, because the key will be deleted now. Writes under way still commit if they arrive before the
   * delete.
   */
  closeWrites(): void {
    this.keyLost();
    this.#tools.closed();
  }

  /** Refuses further writes, because the lease is lost. */
  keyLost(): void {
    this.#isDraining = false;
    this.#callers.termOver();
  }

  readonly #isShut = (): boolean => this.isOver && !(this.#isDraining && this.#tools.remainingMs() > 0);

  proclaim(value: string): Promise<void> {
    this.isUsed = true;
    const send = (): Promise<void> => this.#life.proclaiming(value, () => this.#tools.proclaim(this, value));
    return this.#callers.write(method('proclaim'), send, () => this.isOver);
  }

  heartbeat(): void {
    this.#progressAtMs = clock.now();
  }

  /** The work is done, and the term is only held. So progress no longer counts. */
  rest(): void {
    this.#isResting = true;
  }

  /** How long the work has reported no progress, in milliseconds; 0 before it begins and after it is done. */
  get quietMs(): number {
    return this.#progressAtMs === undefined || this.#isResting ? 0 : clock.now() - this.#progressAtMs;
  }

  txn(options?: TxnOptions): ComparatorBuilder {
    this.#callers.count('build');
    this.isUsed = true;
    const builder = this.#tools.txn(this, options);
    const commit = builder.commit.bind(builder);
    const guarded = (): ReturnType<typeof commit> => this.#callers.write(guarded, commit, this.#isShut);
    builder.commit = guarded;
    return builder;
  }

  put(key: string | Uint8Array, value: string | Uint8Array, options?: TxnOptions): Promise<void> {
    this.isUsed = true;
    return this.#callers.write(method('put'), () => this.#tools.put(this, key, value, options), this.#isShut);
  }

  delete(key: string | Uint8Array, options?: TxnOptions): Promise<void> {
    this.isUsed = true;
    return this.#callers.write(method('delete'), () => this.#tools.delete(this, key, options), this.#isShut);
  }

  settle(writeId: string): Promise<SettledWrite> {
    return this.#callers.write(method('settle'), () => this.#tools.settle(this, writeId));
  }

  toJSON(): object {
    return jsonOf(this.#facts());
  }

  #facts(): object {
    const { election, value, key, leaseId, fencingToken } = this;
    const leftMs = this.leftMs;
    const remainingMs = Math.round(leftMs);
    return { election, value, key, leaseId, fencingToken, isCurrent: leftMs > 0, remainingMs };
  }

  run<T>(work: PromiseLike<T> | ((term: Term) => T | PromiseLike<T>)): Promise<T> {
    this.isUsed = true;
    return this.#callers.register(method('run'), () => {
      const isPromise = typeof work === 'object' && typeof work?.then === 'function';
      if (!isPromise && typeof work !== 'function')
        this.#refuse(`run(): expected a promise or a function, got ${shown(work)}`);
      if (!isPromise && this.leftMs <= 0) throw this.lost();
      this.#mustHaveRoom();
      return this.work.run(work);
    });
  }

  every(ms: number, job: (term: Term) => unknown): void {
    this.#callers.count(this.isOver ? 'fail' : 'register');
    this.isUsed = true;
    const isRange = typeof ms === 'number' && ms >= 1 && ms <= LONGEST_INTERVAL_MS;
    if (!isRange)
      this.#refuse(`every(): expected 1 to ${LONGEST_INTERVAL_MS} milliseconds, got ${String(ms)}`);
    if (typeof job !== 'function') this.#refuse(`every(): expected a function, got ${shown(job)}`);
    this.#mustHaveRoom(this.work.jobs, MOST_JOBS);
    this.work.every(ms, job);
  }

  onEnd(cleanUp: CleanUp): void {
    this.#callers.count(this.isOver ? 'fail' : 'register');
    this.isUsed = true;
    if (!isCleanUp(cleanUp))
      this.#refuse(`onEnd(): expected a function or a disposable object, got ${shown(cleanUp)}`);
    this.#mustHaveRoom();
    this.work.onEnd(cleanUp);
  }

  stepDown(): void {
    this.#callers.count('end');
    if (!this.isOver) this.#life.stepDown();
  }

  resign(): void {
    this.#callers.count('end');
    if (!this.isOver) this.#life.resign();
  }

  /** @throws {UnavailableError} */
  #mustHaveRoom(registered = this.work.registered, most = MOST_REGISTERED): void {
    if (registered < most) return;
    const why = `${most} jobs or clean-ups are registered already`;
    throw new UnavailableError(
      this.election,
      `term of election "${this.election}": ${why}; register each once`,
    );
  }

  #refuse(what: string): never {
    throw new InvalidInputError(this.election, `term of election "${this.election}": ${what}`);
  }

  end(reason: EndCause): void {
    if (this.isOver) return;
    this.noticedAtMs = clock.now();
    this.endedAtMs = Math.min(this.noticedAtMs, this.#tools.validUntilMs);
    this.#endedBecause = reason;
    this.#isDraining = originOf(reason) === 'caller'; // otherwise the lease or the key is lost
    this.#tools.ended();
    this.#ending?.abort(this.lost());
    this.#callers.termOver();
    this.work.cleanUp();
  }

  /** Why the term is over. If only the deadline has passed so far, the reason is `deadline-passed`. */
  lost(): LeadershipLostError {
    if (this.#endedBecause === undefined) return this.#error('deadline-passed');
    return (this.#lost ??= this.#error(this.#endedBecause));
  }

  /** Ends the term because the fence of a write failed: our key is gone. @returns the error for that write. */
  lostInEtcd(): LeadershipLostError {
    this.#isDraining = false;
    if (this.leftMs > 0) this.#life.evicted();
    return this.lost();
  }

  #error(reason: EndCause): LeadershipLostError {
    return new LeadershipLostError({ election: this.election, fencingToken: this.fencingToken, reason });
  }
}

/** The function of a public method. The loop guard finds the method's caller in the stack trace. */
const method = (name: 'proclaim' | 'put' | 'delete' | 'settle' | 'run'): PublicFunction =>
  LiveTerm.prototype[name];
