/**
 * The errors that callers see: one class for each case that a caller handles differently. Match on `code`, not `message`.
 */
import type { EndCause } from './core/campaign-state.ts';
import { jsonOf } from './core/json.ts';

/** Stable across versions. */
export type ElectionErrorCode =
  | 'ELECTION_INVALID_INPUT'
  | 'ELECTION_ALREADY_STANDING'
  | 'ELECTION_CLOSED'
  | 'ELECTION_LEADERSHIP_LOST'
  | 'ELECTION_REFUSED'
  | 'ELECTION_UNAVAILABLE'
  | 'ELECTION_OUTCOME_UNKNOWN'
  | 'ELECTION_RUNAWAY';

/** Base class of all errors that the main entry point throws on purpose. */
export abstract class ElectionError extends Error {
  abstract readonly code: ElectionErrorCode;
  // Also static, because the constructor needs the code before the instance has it.
  protected static readonly code: ElectionErrorCode;
  /**
   * Whether the same call may succeed later without a change on your side. If false, docs/errors.md says what to do instead.
   */
  abstract readonly retryable: boolean;
  /** Name of the election; an empty string if the error does not belong to one. */
  readonly election: string;

  constructor(election: string, message: string, options?: ErrorOptions) {
    super(`${message}; see docs/errors.md#${new.target.code.toLowerCase()}`, options);
    this.election = election;
  }

  /** For logs: tokens become strings, and the cause is reduced to its text. */
  toJSON(): object {
    const { message } = this;
    return { message, ...jsonOf(this), ...causeOf(this.cause) };
  }
}

function causeOf(cause: unknown): { cause?: string } {
  if (cause instanceof Error) return { cause: `${cause.name}: ${cause.message}` };
  return typeof cause === 'string' ? { cause } : {};
}

/** An argument or option is not valid. The message names the field, the expected value and the actual value. */
export class InvalidInputError extends ElectionError {
  override readonly name = 'InvalidInputError';
  protected static override readonly code = 'ELECTION_INVALID_INPUT';
  readonly code = 'ELECTION_INVALID_INPUT';
  readonly retryable = false;
}

/**
 * The campaign cannot begin now. The message names the case:
 * - Another `Election` of the same name, prefix, client and TTL has a campaign. Two campaigns cannot share one key.
 * - `lead()` was called while a campaign runs, or a campaign was started while `lead()` runs.
 * - A callback of an ended term awaits the call. The next term waits for that callback, so the two would wait for each other.
 * - This process runs too many campaigns of the election, or creates elections too fast.
 * - Too many calls of `campaign()` already wait for a term of the campaign.
 */
export class AlreadyStandingError extends ElectionError {
  override readonly name = 'AlreadyStandingError';
  protected static override readonly code = 'ELECTION_ALREADY_STANDING';
  readonly code = 'ELECTION_ALREADY_STANDING';
  readonly retryable = false;
}

/** `resign()`, `close()` or a `signal` option ended the campaign before the call could finish, or the election is already closed. */
export class ElectionClosedError extends ElectionError {
  override readonly name = 'ElectionClosedError';
  protected static override readonly code = 'ELECTION_CLOSED';
  readonly code = 'ELECTION_CLOSED';
  readonly retryable = false;
}

/**
 * This replica may no longer act as leader. The error is the `reason` of `term.signal`, and `term.assertCurrent()` throws
 * it. A retry on this term never succeeds. If {@link reason} is `resigned`, `closed`, `aborted` or `refused`, the
 * campaign may have ended. Otherwise the campaign continues, and the next term can succeed, unless the client is closed.
 */
export class LeadershipLostError extends ElectionError {
  override readonly name = 'LeadershipLostError';
  protected static override readonly code = 'ELECTION_LEADERSHIP_LOST';
  readonly code = 'ELECTION_LEADERSHIP_LOST';
  readonly retryable = false;
  /** Fencing token of the term that ended. */
  readonly fencingToken: bigint;
  readonly reason: EndCause;

  constructor(lost: { election: string; fencingToken: bigint; reason: EndCause }, options?: ErrorOptions) {
    super(
      lost.election,
      `no longer leader of "${lost.election}" (fencing token ${lost.fencingToken}): ${lost.reason}`,
      options,
    );
    this.fencingToken = lost.fencingToken;
    this.reason = lost.reason;
  }
}

/**
 * etcd refuses, and a retry cannot help: wrong credentials, permission denied, an invalid argument, or a closed client.
 * If `campaign()` or `lead()` throws it, the campaign is over. If a write under a term throws it, nothing was written.
 * The term then continues if the work catches the error, unless the client was closed. Also: the answer to a read under a term
 * is too large for the client.
 */
export class RefusedError extends ElectionError {
  override readonly name = 'RefusedError';
  protected static override readonly code = 'ELECTION_REFUSED';
  readonly code = 'ELECTION_REFUSED';
  readonly retryable = false;
}

/**
 * etcd did not answer in time, or could not be reached. Also: too many calls are under way, or too much work is registered.
 * Campaigns retry by themselves. Calls that read, write, observe or register throw this error.
 */
export class UnavailableError extends ElectionError {
  override readonly name = 'UnavailableError';
  protected static override readonly code = 'ELECTION_UNAVAILABLE';
  readonly code = 'ELECTION_UNAVAILABLE';
  readonly retryable = true;
}

/**
 * A write was sent, and its answer was lost. The write may have happened, may still happen, or may never happen. The library
 * did not send it again. A read does not show the outcome, because the write can still arrive after the read.
 * - A write with `exactlyOnce` has a {@link writeId}: `term.settle()` finds out the outcome.
 * - A write that compared the `mod_revision` of its keys can be sent again. Only one of the two copies can commit.
 * - After any other write, call `term.stepDown()`, and read in a later term. The write cannot commit once the key of its term
 *   is gone.
 *
 * If the answer was too large for the client, the message says that the write was committed. Do not send it again.
 */
export class OutcomeUnknownError extends ElectionError {
  override readonly name = 'OutcomeUnknownError';
  protected static override readonly code = 'ELECTION_OUTCOME_UNKNOWN';
  readonly code = 'ELECTION_OUTCOME_UNKNOWN';
  readonly retryable = false;
  /** ID of a write with `exactlyOnce`, for `term.settle()`; undefined for other writes. */
  readonly writeId: string | undefined;

  constructor(
    election: string,
    message: string,
    options?: ErrorOptions & { readonly writeId?: string | undefined },
  ) {
    super(election, message, options);
    this.writeId = options?.writeId;
  }
}

/** A loop calls the library without ever letting the event loop turn. Await the call, or remove the loop. */
export class RunawayLoopError extends ElectionError {
  override readonly name = 'RunawayLoopError';
  protected static override readonly code = 'ELECTION_RUNAWAY';
  readonly code = 'ELECTION_RUNAWAY';
  readonly retryable = false;
  /** Calls seen in one turn of the event loop. */
  readonly calls: number;

  constructor(election: string, calls: number) {
    super(
      election,
      `${calls} calls for election "${election}" in one turn of the event loop: a runaway loop. ` +
        'Let the loop await something that takes time. Call campaign() once: the election enters again by itself after every loss',
    );
    this.calls = calls;
  }
}
