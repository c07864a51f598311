/**
 * One unbroken period of leadership, as its work sees it.
 */
import type { ComparatorBuilder } from 'etcd3';

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
   * loop aborts it late: ask {@link isCurrent} before an act that matters. The end of the term awaits what its `abort`
   * listeners return, as it does with {@link onEnd}; it does not await listeners of signals made from it.
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
   * @throws {UnavailableError} (the promise rejects) if 10 000 clean-ups and other work are registered already.
   */
  run<T>(work: PromiseLike<T> | ((term: Term) => T | PromiseLike<T>)): Promise<T>;
  /**
   * Calls a job at once, and then every `ms` milliseconds until the term ends. A job that takes longer delays the next
   * call: it never runs beside itself. The end of the term waits for the job under way, and a job that fails ends the
   * term, as {@link run} says.
   *
   * @param ms from one start to the next, in milliseconds. Range: 1 to 2 147 483 647.
   * @throws {InvalidInputError} if `ms` is out of range, or the job is no function.
   * @throws {UnavailableError} if 1 000 such jobs are registered already.
   */
  every(ms: number, job: (term: Term) => unknown): void;
  /**
   * Registers a clean-up, to be called when the term ends, just after `signal` has aborted; at once if it has ended.
   * Clean-ups are called one after another, the last registered first; the end of the term waits for them, at most
   * `drainTimeoutMs`. One that takes longer than its share of that time goes on beside the next. What `onLeader` returns (a function, or an object that is disposable) is registered the same way.
   *
   * @throws {InvalidInputError} if it is neither a function nor disposable.
   * @throws {UnavailableError} if 10 000 clean-ups and other work are registered already.
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

/** What became of a write. */
export interface SettledWrite {
  /** Whether it was committed. If not, it never will be. */
  readonly happened: boolean;
  /** Whether your comparisons held, so that the `then` branch ran; false if it did not happen. */
  readonly succeeded: boolean;
}

/** How a fenced write is sent. */
export interface TxnOptions {
  /**
   * If the answer is lost, the library learns by itself what became of the write: it costs one more key in etcd for each
   * write under way (at most 8), which lies at `<prefix>.writes/<name>/` and goes with the lease. Each branch may then
   * hold 125 operations, and `responses` is empty if the answer was lost. Default: `false`.
   */
  exactlyOnce?: boolean | undefined;
}

/** What a clean-up may be: a function, or what `using` and `await using` dispose of. */
export type CleanUp = (() => unknown) | AsyncDisposable | Disposable;
