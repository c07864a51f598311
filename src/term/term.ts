/**
 * One unbroken period of leadership.
 */
import { inspect, type InspectOptions } from 'node:util';
import { sharedAbort } from '../util/abort.ts';
import type { ComparatorBuilder } from 'etcd3';
import type { CallbackFrames } from '../util/callback-frames.ts';
import type { Candidacy, EndCause } from '../core/campaign-state.ts';
import { jsonOf } from '../core/json.ts';
import { InvalidInputError, LeadershipLostError } from '../errors.ts';
import type { PublicFunction } from '../loop-guard/call-site.ts';
import type { CallLimiter } from '../loop-guard/call-limits.ts';
import type { TxnOptions } from '../options.ts';
import { isCleanUp, TermWork, type CleanUp, type WorkListener } from './term-work.ts';
import { clock } from '../util/clock.ts';

/** In JSON and in logs it is shown by its facts: the token as a string, and whether it is current at that moment. */
export interface Term {
  /** Name of the election. */
  readonly election: string;
  /** What this leader announces; `proclaim` changes it. */
  readonly value: string;
  /** Our key in etcd. */
  readonly key: string;
  /**
   * The lease that the key hangs on, in decimal. All elections of the client that share a TTL share it: a key of yours
   * put on it outlives `resign()` and `stepDown()`.
   */
  readonly leaseId: string;
  /**
   * Creation revision of our key: larger in every later term of this election. Hand it to whatever you write to,
   * and let it refuse a smaller one than it has seen.
   */
  readonly fencingToken: bigint;
  /**
   * Aborts when the term ends, for whatever cause; its reason is a {@link LeadershipLostError}. A blocked event
   * loop aborts it late: ask {@link isCurrent} before an act that matters.
   */
  readonly signal: AbortSignal;
  /** Whether we may still act as leader. Compares the clock at the moment of the call; never trusts a timer. */
  isCurrent(): boolean;
  /** @throws {LeadershipLostError} unless {@link isCurrent}. */
  assertCurrent(): void;
  /**
   * How much longer the term is valid if no renewal comes, in milliseconds; 0 when it is over. Never more than the TTL
   * less the margin, and a third of the TTL less than that just before a renewal.
   */
  remainingMs(): number;
  /**
   * Announces another value to observers and candidates, without giving up the term.
   *
   * @throws {LeadershipLostError} if the term is over.
   * @throws {OutcomeUnknownError} if etcd's answer was lost.
   * @throws {InvalidInputError} if the value is no string, or too long.
   */
  proclaim(value: string): Promise<void>;
  /** Says that the work makes progress; see the option `progressTimeoutMs`. */
  heartbeat(): void;
  /**
   * An etcd transaction that commits only while this term is the leader: add `.and(…)`, `.then(…)`, `.else(…)`
   * and `.commit()`. It is sent once. `succeeded: false` means that a comparison of yours did not hold, and that
   * your `else` branch ran. After the term neither branch writes anything.
   *
   * `commit()` rejects with {@link LeadershipLostError} if the term is over, with `OutcomeUnknownError` if the
   * answer was lost, with `UnavailableError` if it certainly had no effect, and with `RefusedError` if etcd refuses
   * it.
   *
   * Each branch may hold 126 operations. With comparisons, both branches are nested in a transaction of ours, and
   * etcd older than 3.4.42 and 3.5.28 does not check permissions of nested operations.
   *
   * Do not await the builder, nor return it from an async function: it has a method `then`, so it is taken for a promise,
   * and rejects with advice.
   *
   * @param options.exactlyOnce learns the outcome by itself if the answer is lost. `commit()` then resolves, or rejects
   *   with an error that says that nothing was written. Only if etcd cannot be asked in time it rejects with
   *   `OutcomeUnknownError`, whose `writeId` {@link settle} takes.
   * @throws {RefusedError} if `exactlyOnce` is asked for, and the role was denied the keys that it needs.
   * @throws {InvalidInputError} if there is no such option.
   */
  txn(options?: TxnOptions): ComparatorBuilder;
  /**
   * Writes one key, if this term is still the leader at the moment of the commit. The key is taken as it is: a prefix of
   * your client is not added.
   *
   * @throws what `commit()` of {@link txn} rejects with, and {@link InvalidInputError} for a bad argument.
   */
  put(key: string | Uint8Array, value: string | Uint8Array, options?: TxnOptions): Promise<void>;
  /** Deletes one key under the same condition as {@link put}. It is no error if there is no such key. */
  delete(key: string | Uint8Array, options?: TxnOptions): Promise<void>;
  /**
   * Learns what became of a write with `exactlyOnce` whose outcome was unknown. If it has not arrived, this makes sure
   * that it never happens. Works after the term too, as long as its lease lives and this process runs.
   *
   * @param writeId that of the `OutcomeUnknownError`.
   * @throws {OutcomeUnknownError} if it cannot be learnt any more: the lease is gone.
   * @throws {UnavailableError} if etcd does not answer now.
   * @throws {InvalidInputError} if no such write is known.
   */
  settle(writeId: string): Promise<SettledWrite>;
  /**
   * Registers work that `onLeader` does not return: a loop that is not awaited, a handler, a child process. The end of
   * the term waits for it, at most `drainTimeoutMs`; its failure ends the term; and the next term does not begin before
   * it has settled. A function is called at once, with the term.
   *
   * @returns what the work returns. It need not be awaited.
   * @throws {LeadershipLostError} (the promise rejects) if a function is registered after the end of the term.
   */
  run<T>(work: PromiseLike<T> | ((term: Term) => T | PromiseLike<T>)): Promise<T>;
  /**
   * Calls a job at once, and then every `ms` milliseconds until the term ends. A job that takes longer delays the next
   * call: it never runs beside itself. The end of the term waits for the job under way, and a job that fails ends the
   * term, as {@link run} says.
   *
   * @param ms from one start to the next, in milliseconds. Range: 1 to 2 147 483 647.
   * @throws {InvalidInputError} if `ms` is out of range, or the job is no function.
   */
  every(ms: number, job: (term: Term) => unknown): void;
  /**
   * Registers a clean-up, to be called when the term ends, just after `signal` has aborted; at once if it has ended.
   * Clean-ups are called one after another, the last registered first; the end of the term waits for them, at most
   * `drainTimeoutMs`. One that takes longer than its share of that time goes on beside the next. What `onLeader` returns (a function, or an object that is disposable) is registered the same way.
   *
   * @throws {InvalidInputError} if it is neither a function nor disposable.
   */
  onEnd(cleanUp: CleanUp): void;
  /**
   * Ends this term, and stands again at the back of the queue. Never waits, so the work may call it anywhere; does
   * nothing if the term is over.
   */
  stepDown(): void;
  /** Ends this term and the campaign. Never waits, so the work may call it anywhere; does nothing if the term is over. */
  resign(): void;
}

/** What a term needs of its campaign. */
export interface TermLife extends WorkListener {
  readonly frames: CallbackFrames;
  readonly callers: CallLimiter;
  stepDown(): void;
  resign(): void;
  /** The term was asked whether it is current, and it has been ended. */
  askedAfterEnd(): void;
  /** A write has learnt that our key is gone. */
  evicted(): void;
  /** Runs a `proclaim()`. */
  proclaiming(proclaim: () => Promise<void>): Promise<void>;
}

/** What became of a write. */
export interface SettledWrite {
  /** Whether it was committed. If not, it never will be. */
  readonly happened: boolean;
  /** Whether your comparisons held, so that the `then` branch ran; false if it did not happen. */
  readonly succeeded: boolean;
}

/** What a term needs of the rest of the house. */
export interface TermTools {
  remainingMs(): number;
  /** @throws {InvalidInputError} {@link LeadershipLostError} at once, if that is known without asking etcd. */
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
  /** The term is over. */
  ended(): void;
}

/** What a timer can wait for at most. */
const LONGEST_INTERVAL_MS = 2 ** 31 - 1;

export class LiveTerm implements Term {
  readonly election: string;
  readonly key: string;
  readonly leaseId: string;
  readonly fencingToken: bigint;
  readonly startedAtMs: number = clock.now();
  heartbeatAtMs: number = this.startedAtMs;
  /** Undefined while the term goes on. */
  endedAtMs: number | undefined;
  value: string;
  /** Whether it was told that this term is asked though a newer one is there. */
  isStaleTold = false;
  readonly #tools: TermTools;
  readonly #callers: CallLimiter;
  readonly #life: TermLife;
  /** What runs in this term. */
  readonly work: TermWork;
  /** Made when it is asked for: most terms end without anybody having listened. */
  #ending: AbortController | undefined;
  #endedBecause: EndCause | undefined;
  #lost: LeadershipLostError | undefined;

  static {
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
    if (this.isOver) this.#life.askedAfterEnd();
    if (this.#ending === undefined) {
      this.#ending = sharedAbort();
      if (this.isOver) this.#ending.abort(this.lost());
    }
    return this.#ending.signal;
  }

  /** Whether it has been ended; the clock may know it before. */
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
    const leftMs = this.#remainingMs();
    if (leftMs > 0) return leftMs;
    this.#callers.look(); // a loop that goes on after the end must not keep the event loop for ever
    if (this.isOver) this.#life.askedAfterEnd();
    return 0;
  }

  #remainingMs(): number {
    return this.isOver ? 0 : this.#tools.remainingMs();
  }

  proclaim(value: string): Promise<void> {
    return this.#callers.write(method('proclaim'), () =>
      this.#life.proclaiming(() => this.#tools.proclaim(this, value)),
    );
  }

  heartbeat(): void {
    this.heartbeatAtMs = clock.now();
  }

  txn(options?: TxnOptions): ComparatorBuilder {
    this.#callers.count('build');
    const builder = this.#tools.txn(this, options);
    const commit = builder.commit.bind(builder);
    const guarded = (): ReturnType<typeof commit> => this.#callers.write(guarded, commit);
    builder.commit = guarded;
    return builder;
  }

  put(key: string | Uint8Array, value: string | Uint8Array, options?: TxnOptions): Promise<void> {
    return this.#callers.write(method('put'), () => this.#tools.put(this, key, value, options));
  }

  delete(key: string | Uint8Array, options?: TxnOptions): Promise<void> {
    return this.#callers.write(method('delete'), () => this.#tools.delete(this, key, options));
  }

  settle(writeId: string): Promise<SettledWrite> {
    return this.#callers.write(method('settle'), () => this.#tools.settle(this, writeId));
  }

  toJSON(): object {
    return jsonOf(this.#facts());
  }

  #facts(): object {
    const { election, value, key, leaseId, fencingToken } = this;
    const leftMs = this.#remainingMs();
    const remainingMs = Math.round(leftMs);
    return { election, value, key, leaseId, fencingToken, isCurrent: leftMs > 0, remainingMs };
  }

  run<T>(work: PromiseLike<T> | ((term: Term) => T | PromiseLike<T>)): Promise<T> {
    return this.#callers.register(method('run'), () => {
      const isPromise = typeof work === 'object' && typeof work?.then === 'function';
      if (!isPromise && typeof work !== 'function')
        this.#refuse(`run(): expected a promise or a function, got ${typeof work}`);
      if (!isPromise && this.isOver) throw this.lost();
      return this.work.run(work);
    });
  }

  every(ms: number, job: (term: Term) => unknown): void {
    this.#callers.count('register');
    const isRange = typeof ms === 'number' && ms >= 1 && ms <= LONGEST_INTERVAL_MS;
    if (!isRange)
      this.#refuse(`every(): expected 1 to ${LONGEST_INTERVAL_MS} milliseconds, got ${String(ms)}`);
    if (typeof job !== 'function') this.#refuse(`every(): expected a function, got ${typeof job}`);
    this.work.every(ms, job);
  }

  onEnd(cleanUp: CleanUp): void {
    this.#callers.count('register');
    if (!isCleanUp(cleanUp))
      this.#refuse(`onEnd(): expected a function or a disposable object, got ${typeof cleanUp}`);
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

  #refuse(what: string): never {
    throw new InvalidInputError(this.election, `term of election "${this.election}": ${what}`);
  }

  end(reason: EndCause): void {
    if (this.isOver) return;
    this.endedAtMs = clock.now();
    this.#endedBecause = reason;
    this.#tools.ended();
    this.#ending?.abort(this.lost());
    this.work.end();
  }

  /** Why the term is over. The clock may know it before anything has been told. */
  lost(): LeadershipLostError {
    if (this.#endedBecause === undefined) return this.#error('deadline-passed');
    return (this.#lost ??= this.#error(this.#endedBecause));
  }

  /** The fence of a write failed, so etcd says that our key is gone: ends the term. @returns the error for that write. */
  lostInEtcd(): LeadershipLostError {
    if (!this.isOver && this.#remainingMs() > 0) this.#life.evicted();
    return this.lost();
  }

  #error(reason: EndCause): LeadershipLostError {
    return new LeadershipLostError({ election: this.election, fencingToken: this.fencingToken, reason });
  }
}

/** A method as it is found on the stack, to tell who called it. */
const method = (name: 'proclaim' | 'put' | 'delete' | 'settle' | 'run'): PublicFunction =>
  LiveTerm.prototype[name];
