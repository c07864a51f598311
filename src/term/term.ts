/**
 * One unbroken period of leadership, as its work sees it.
 */
import type { ComparatorBuilder } from 'etcd3';

/** A term. JSON and logs also show whether the term is current at that moment. In JSON, the token is a string. */
export interface Term {
  /** Name of the election. */
  readonly election: string;
  /** The value that this leader announces. {@link proclaim} changes it. */
  readonly value: string;
  /** Our key in etcd. */
  readonly key: string;
  /**
   * ID of the lease to which the key is attached, in decimal. Elections of the client with the same TTL share this lease. So a
   * key that you attach to the lease outlives `stepDown()`. The key also outlives `resign()`, while another of these elections
   * has a campaign.
   */
  readonly leaseId: string;
  /**
   * Creation revision of our key. It is larger in every later term of this election. Pass it to the systems you write to. Let
   * them refuse a token that is smaller than one they have already seen.
   */
  readonly fencingToken: bigint;
  /**
   * Aborts when the term ends; its reason is a {@link LeadershipLostError}. A blocked event loop delays the abort, so
   * ask {@link isCurrent} before an act that matters. While the abort is late, `signal.reason` is undefined; {@link
   * assertCurrent} throws the error.
   *
   * The end of the term awaits what `abort` listeners return, as for {@link onEnd}. It does not await listeners of
   * signals derived from this one.
   */
  readonly signal: AbortSignal;
  /** Whether we may still act as leader. Compares the deadline with the clock on every call; uses no timer. */
  isCurrent(): boolean;
  /** @throws {LeadershipLostError} unless {@link isCurrent}. */
  assertCurrent(): void;
  /**
   * How much longer the term is valid if no renewal comes, in milliseconds; 0 if it is over. At most the TTL less the
   * margin. Between two renewals it falls by a third of the TTL.
   */
  remainingMs(): number;
  /**
   * Announces another value to observers and candidates. The term continues.
   *
   * @param value at most 16 KiB of UTF-8.
   * @throws {LeadershipLostError} if the term is over.
   * @throws {OutcomeUnknownError} if etcd's answer was lost.
   * @throws {UnavailableError} if the value was certainly not written.
   * @throws {RefusedError} if etcd refuses the write.
   * @throws {InvalidInputError} if the value is not a string, or too long.
   */
  proclaim(value: string): Promise<void>;
  /** Reports that the work makes progress. See the option `progressTimeoutMs`. */
  heartbeat(): void;
  /**
   * Builds an etcd transaction that commits only while the key of this term exists: add `.and(…)`, `.then(…)`, `.else(…)` and
   * `.commit()`. The library repeats the transaction only if it certainly had no effect. `succeeded: false` means that one of
   * your comparisons did not hold, and that your `else` branch ran. Once the key is gone, neither branch writes anything.
   *
   * After `close()`, `resign()` or `stepDown()` the key exists until the work has stopped, at most for `drainTimeoutMs`. Until
   * then the work may still write. If the lease or the key is lost, the work may not write any more.
   *
   * `commit()` rejects with:
   * - {@link LeadershipLostError} if the key or the lease of the term is gone;
   * - `OutcomeUnknownError` if the answer was lost. The option `exactlyOnce` lets you find out the outcome;
   * - `UnavailableError` if the transaction certainly had no effect;
   * - `RefusedError` if etcd refuses it.
   *
   * Each branch may hold 126 operations. With comparisons, both branches are nested in a transaction of the library. Versions
   * of etcd before 3.4.42 and 3.5.28 do not check permissions of nested operations.
   *
   * Await what `commit()` returns, never the builder. The builder has a method `then`, so `await` takes it for a promise. If
   * you await the builder, or return it from an async function, nothing is written. You get an error that says what to do.
   *
   * @throws {RefusedError} with `exactlyOnce`, if in the last 30 s etcd has denied our user the keys that this option needs.
   * @throws {InvalidInputError} if an option is unknown.
   */
  txn(options?: TxnOptions): ComparatorBuilder;
  /**
   * Writes one key if the key of this term exists at the moment of the commit. Your key is used unchanged: a
   * namespace prefix of your client is not added.
   *
   * @throws the errors with which `commit()` of {@link txn} rejects, and {@link InvalidInputError} for a bad
   *   argument.
   */
  put(key: string | Uint8Array, value: string | Uint8Array, options?: TxnOptions): Promise<void>;
  /** Deletes one key under the same condition as {@link put}. It is no error if the key does not exist. */
  delete(key: string | Uint8Array, options?: TxnOptions): Promise<void>;
  /**
   * Finds out the outcome of a write with `exactlyOnce` that ended in `OutcomeUnknownError`. If the write has not
   * arrived, the call makes sure that it never happens. Works after the term too, while its lease exists and this
   * process runs.
   *
   * @param writeId the `writeId` of the `OutcomeUnknownError`.
   * @throws {OutcomeUnknownError} if the outcome can no longer be found out, for example because the lease is gone.
   * @throws {UnavailableError} if etcd does not answer.
   * @throws {RefusedError} if etcd refuses the call.
   * @throws {InvalidInputError} if the write is not known.
   */
  settle(writeId: string): Promise<SettledWrite>;
  /**
   * Registers work that `onLeader` does not await: a loop, a handler, a child process. If `work` is a function, it is
   * called at once, with the term. The end of the term waits for the work, at most `drainTimeoutMs`. If the work
   * fails, the term ends. This replica does not lead again before the work has settled.
   *
   * @returns what the work returns. You need not await it.
   * @throws {InvalidInputError} (the promise rejects) if `work` is neither a promise nor a function.
   * @throws {LeadershipLostError} (the promise rejects) if a function is registered after the end of the term.
   * @throws {UnavailableError} (the promise rejects) if 10 000 pieces of work and clean-ups are registered already.
   */
  run<T>(work: PromiseLike<T> | ((term: Term) => T | PromiseLike<T>)): Promise<T>;
  /**
   * Calls a job at once, and then every `ms` milliseconds until the term ends. Calls do not overlap: a job that takes longer
   * delays the next call. The end of the term waits for the job under way. A job that fails ends the term, as for {@link run}.
   * After the end of the term, `every()` does nothing.
   *
   * @param ms from one start to the next, in milliseconds. Range: 1 to 2 147 483 647.
   * @throws {InvalidInputError} if `ms` is out of range, or the job is not a function.
   * @throws {UnavailableError} if 1 000 such jobs are registered already.
   */
  every(ms: number, job: (term: Term) => unknown): void;
  /**
   * Registers a clean-up. It is called when the term ends, just after `signal` has aborted. If the term has already
   * ended, it is called at once, or after a clean-up that is running. Clean-ups are called one after another, the last
   * registered first. The end of the term waits for them, at most `drainTimeoutMs`. If one takes longer than its share of
   * that time, the next one is called meanwhile. A function or a disposable object that `onLeader` returns is registered
   * in the same way.
   *
   * @throws {InvalidInputError} if the clean-up is neither a function nor disposable.
   * @throws {UnavailableError} if 10 000 pieces of work and clean-ups are registered already.
   */
  onEnd(cleanUp: CleanUp): void;
  /**
   * Ends this term, and enters again at the end of the queue. Returns at once, so the work may call it anywhere. Does nothing if
   * the term is over.
   */
  stepDown(): void;
  /** Ends this term and the campaign. Returns at once, so the work may call it anywhere. Does nothing if the term is over. */
  resign(): void;
}

/** The outcome of a write. */
export interface SettledWrite {
  /** Whether the write was committed. If not, it never will be. */
  readonly happened: boolean;
  /** Whether your comparisons held and the `then` branch ran. False if the write did not happen. */
  readonly succeeded: boolean;
}

/** How a fenced write is sent. */
export interface TxnOptions {
  /**
   * If the answer is lost, the library asks etcd for the outcome. The call then resolves, or rejects with an error that says
   * that nothing was written. If etcd does not answer in time, the call rejects with `OutcomeUnknownError`; pass its `writeId`
   * to {@link Term.settle}. Default: `false`.
   *
   * Each write under way needs a key of its own in etcd. There are at most 8 such keys, under `<prefix>.writes/<name>/`. They
   * are deleted with the lease. With this option, each branch may hold 125 operations. `responses` is empty if the answer was
   * lost.
   */
  exactlyOnce?: boolean | undefined;
}

/** A clean-up: a function, or an object that `using` or `await using` accepts. */
export type CleanUp = (() => unknown) | AsyncDisposable | Disposable;
