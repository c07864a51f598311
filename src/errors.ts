/**
 * What can go wrong, as few classes as callers need to tell apart. Match on `code`, not on `message`.
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

/** Base class of all errors that this library throws on purpose. */
export abstract class ElectionError extends Error {
  abstract readonly code: ElectionErrorCode;
  // The code before there is an instance: the message ends with its anchor.
  protected static readonly code: ElectionErrorCode;
  /** Whether the same call may succeed later without anyone changing anything. */
  abstract readonly retryable: boolean;
  /** Name of the election; empty if the error concerns none. */
  readonly election: string;

  constructor(election: string, message: string, options?: ErrorOptions) {
    super(`${message}; see docs/errors.md#${new.target.code.toLowerCase()}`, options);
    this.election = election;
  }

  /** For logs: tokens are strings, and of the cause there is only the text. */
  toJSON(): object {
    const { message } = this;
    return { message, ...jsonOf(this), ...causeOf(this.cause) };
  }
}

function causeOf(cause: unknown): { cause?: string } {
  if (cause instanceof Error) return { cause: `${cause.name}: ${cause.message}` };
  return typeof cause === 'string' ? { cause } : {};
}

/** An argument or option that cannot work; the message names the field, what is expected and what came. */
export class InvalidInputError extends ElectionError {
  override readonly name = 'InvalidInputError';
  protected static override readonly code = 'ELECTION_INVALID_INPUT';
  readonly code = 'ELECTION_INVALID_INPUT';
  readonly retryable = false;
}

/**
 * The election already has a candidate on this client, and two cannot share one key: either a second `Election`
 * of the same name, client and TTL, or `lead()` while a campaign runs.
 */
export class AlreadyStandingError extends ElectionError {
  override readonly name = 'AlreadyStandingError';
  protected static override readonly code = 'ELECTION_ALREADY_STANDING';
  readonly code = 'ELECTION_ALREADY_STANDING';
  readonly retryable = true;
}

/** The campaign was ended by us before the call could finish: `resign()`, `close()` or the `signal` option. */
export class ElectionClosedError extends ElectionError {
  override readonly name = 'ElectionClosedError';
  protected static override readonly code = 'ELECTION_CLOSED';
  readonly code = 'ELECTION_CLOSED';
  readonly retryable = false;
}

/**
 * We may no longer act as leader. It is the `reason` of `term.signal`, and what `term.assertCurrent()` throws.
 */
export class LeadershipLostError extends ElectionError {
  override readonly name = 'LeadershipLostError';
  protected static override readonly code = 'ELECTION_LEADERSHIP_LOST';
  readonly code = 'ELECTION_LEADERSHIP_LOST';
  readonly retryable = true;
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
 * etcd refuses for good: wrong credentials, permission denied, an invalid argument, or a client that was
 * closed. Thrown by `campaign()` and `lead()` it means that the campaign is over. Thrown by a write under a term it
 * concerns that write alone: nothing was written, and the term goes on.
 */
export class RefusedError extends ElectionError {
  override readonly name = 'RefusedError';
  protected static override readonly code = 'ELECTION_REFUSED';
  readonly code = 'ELECTION_REFUSED';
  readonly retryable = false;
}

/** etcd did not answer in time, or could not be reached. Campaigns go on trying by themselves; reads tell you. */
export class UnavailableError extends ElectionError {
  override readonly name = 'UnavailableError';
  protected static override readonly code = 'ELECTION_UNAVAILABLE';
  readonly code = 'ELECTION_UNAVAILABLE';
  readonly retryable = true;
}

/**
 * A write was sent, and its answer was lost: it may have happened, it may still happen, or it never will. It was not
 * sent again. A read decides nothing, because the write can land after it. If the write compared the `mod_revision` of
 * its keys, send the same again: only one of the two can land. Otherwise step down first: after the term it cannot
 * land any more. A write with `exactlyOnce` has a {@link writeId}: `term.settle()` learns its outcome.
 */
export class OutcomeUnknownError extends ElectionError {
  override readonly name = 'OutcomeUnknownError';
  protected static override readonly code = 'ELECTION_OUTCOME_UNKNOWN';
  readonly code = 'ELECTION_OUTCOME_UNKNOWN';
  readonly retryable = false;
  /** Of a write with `exactlyOnce`: what `term.settle()` takes to learn the outcome later. */
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

/** A loop calls us without ever letting the event loop turn. Await the call, or take the loop out. */
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
        'Let the loop await something that takes time. campaign() is called once: it stands again by itself',
    );
    this.calls = calls;
  }
}
