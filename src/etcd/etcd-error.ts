/**
 * Sorts errors of etcd, the network and etcd3 into the few kinds that the library handles differently. An error that
 * came over the network is final only if etcd sent it. Gateways and proxies use the same codes as etcd, so their errors
 * count as outages.
 */

import { plainCause, plainCauseWithCertificate } from '../core/plain-cause.ts';

export type EtcdErrorKind =
  /** etcd is unreachable, too slow, overloaded or out of space. A later try may succeed. */
  | 'unavailable'
  /** Wrong credentials, permission denied or an invalid argument. A retry cannot help. */
  | 'refused'
  | 'client-closed'
  /** etcd does not have the lease: it never existed, or is gone. */
  | 'lease-gone'
  /** etcd already has a lease of this ID: an earlier grant had succeeded. */
  | 'lease-exists'
  | 'compacted'
  | 'aborted';

export class EtcdError extends Error {
  override readonly name = 'EtcdError';
  readonly kind: EtcdErrorKind;
  /** False only if the request certainly had no effect. */
  readonly mayHaveHappened: boolean;

  constructor(kind: EtcdErrorKind, message: string, mayHaveHappened: boolean, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
    this.mayHaveHappened = mayHaveHappened;
  }
}

/** Whether a retry would fail in the same way. */
export const isFinal = (fault: EtcdError): boolean =>
  fault.kind === 'refused' || fault.kind === 'client-closed';

/**
 * Whether etcd answered without saying whether the write happened. The write cannot happen later, so a read shows the
 * outcome.
 */
export const isAnswered = (fault: EtcdError): boolean => /space exceeded/.test(fault.message);

/** Kinds of errors that only etcd sends, and on which the library acts. */
export const HAVE_CONSEQUENCES: ReadonlySet<EtcdErrorKind> = new Set([
  'refused',
  'lease-gone',
  'lease-exists',
  'compacted',
]);

/** Whether the error is etcd's answer to the call. Otherwise nothing answered, or something on the way to etcd. */
export const isReply = (fault: unknown): boolean =>
  fault instanceof EtcdError && (HAVE_CONSEQUENCES.has(fault.kind) || /: etcdserver: /.test(fault.message));

/**
 * Whether a new token would help. It helps if:
 * - the token has expired;
 * - users or roles have changed since it was issued: a JWT token carries their revision;
 * - there is no token, because authentication was off when we asked for one.
 */
export const isTokenRefused = (said: string): boolean =>
  /invalid auth token|revision of auth store is old|user name is empty/.test(said);

/** The gRPC codes INVALID_ARGUMENT and PERMISSION_DENIED. */
const REFUSED = new Set([3, 7]);

/** How etcd's own errors begin in the supported releases. "raft proposal dropped" is an exception. */
const BY_ETCD = /^etcdserver: /;

/** Whether the error comes from the member itself, not from something on the way to it. */
export const isByEtcd = (status: GrpcStatus): boolean => BY_ETCD.test(status.details);

/** Whether this member cannot serve us: it is a learner, has no leader, or is stopped or corrupt. */
export const isUnfit = (status: GrpcStatus): boolean =>
  /^etcdserver: (rpc not supported for learner|no leader|not capable|server stopped|corrupt cluster)/.test(
    status.details,
  );

/** Whether gRPC has no connection, and waits before it dials again. */
export const isNotConnected = ({ details }: GrpcStatus): boolean =>
  /^No connection established|^Name resolution failed/.test(details);

/** gRPC did not send the call, or the server's HTTP/2 layer refused it unread. */
const NEVER_SENT =
  /^No connection established|^Name resolution failed|^Channel closed before call started|^Stream refused by server|^Failed to start HTTP\/2 stream/;

/**
 * Whether the server's HTTP/2 layer refused the call unread. It does so if it is closing the connection, or if the
 * connection has too many calls.
 */
export const isUnread = ({ message }: EtcdError): boolean => message.endsWith(': Stream refused by server');

/**
 * Errors after which the call certainly had no effect. They come for reads, or for writes that the log of etcd has not
 * accepted. "request timed out" and "server stopped" are not among them, because the log may accept the write even so.
 */
const NOT_DONE =
  /^etcdserver: (too many requests|no leader|not capable|rpc not supported for learner|leader changed|corrupt cluster)|^raft proposal dropped/;

/** The request is larger than etcd or gRPC accepts, or gRPC cannot encode it. */
const NOT_SENDABLE =
  /^grpc: received message larger than max|^Attempted to send message|^Request message serialization failure/;

const TOO_LARGE = /message larger than max/;

/** Whether the call itself is the cause: its request or its answer is too large, or cannot be encoded. */
export const isUnsendable = ({ details }: GrpcStatus): boolean =>
  NOT_SENDABLE.test(details) || TOO_LARGE.test(details);

/** The request or the answer is too large for gRPC. If only the answer is too large, etcd has applied the request. */
export const isTooLarge = (error: unknown): boolean =>
  error instanceof EtcdError && TOO_LARGE.test(error.message);

/** The answer is larger than gRPC accepts. So etcd has carried out the request. */
export const isAnswerTooLarge = (fault: EtcdError): boolean =>
  fault.kind === 'unavailable' && isTooLarge(fault);

export interface GrpcStatus {
  readonly code: number;
  readonly details: string;
}

/** The names of gRPC's codes, from 0. A proxy may leave out the text of a status. */
const CODE_NAMES =
  'OK CANCELLED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND ALREADY_EXISTS PERMISSION_DENIED RESOURCE_EXHAUSTED FAILED_PRECONDITION ABORTED OUT_OF_RANGE UNIMPLEMENTED INTERNAL UNAVAILABLE DATA_LOSS UNAUTHENTICATED'.split(
    ' ',
  );

/** Names the code of a status whose text says nothing, because log lines and errors show only the text. */
export function withText(status: GrpcStatus): GrpcStatus {
  const { code, details } = status;
  if (plainCause(details) !== '') return status;
  return { code, details: `gRPC status ${CODE_NAMES[code] ?? code} without a text` };
}

/** @param telling makes a readable text of what gRPC or etcd said. */
export function etcdErrorOf(
  what: string,
  status: GrpcStatus | undefined,
  error: unknown,
  telling: (said: string) => string = plainCauseWithCertificate,
): EtcdError {
  if (error instanceof EtcdError) return error;
  const cause = error instanceof Error ? error : new Error(String(error));
  const { code, details: said } = withText(status ?? statusIn(cause.message));
  // If we have gRPC's status, the error of etcd3 adds nothing, because etcd3 saw only a replaced status (intercept.ts).
  const options = status === undefined ? { cause } : {};
  const told = telling(said);
  const fault = (kind: EtcdErrorKind, mayHaveHappened: boolean): EtcdError =>
    new EtcdError(kind, `${what}: ${told}`, mayHaveHappened, options);

  if (/client was already closed/.test(cause.message)) return fault('client-closed', false);
  if (NOT_SENDABLE.test(said)) return fault('refused', false);
  // On a client that we use unchanged, etcd3's circuit breaker may be open. Then etcd3 has not sent the call.
  if (NEVER_SENT.test(said) || /circuit breaker is open/.test(said)) return fault('unavailable', false);
  if (NOT_DONE.test(said)) return fault('unavailable', false);
  if (!BY_ETCD.test(said)) return fault('unavailable', true);
  if (/requested lease not found/.test(said)) return fault('lease-gone', false);
  if (/lease already exists/.test(said)) return fault('lease-exists', false);
  if (/revision has been compacted/.test(said)) return fault('compacted', false);
  // The next try fetches a new token. Wrong credentials have another text, and count as refused.
  if (/invalid auth token|revision of auth store is old/.test(said)) return fault('unavailable', false);
  // etcd applies the write that exceeds its quota, although it returns this error.
  if (/space exceeded/.test(said)) return fault('unavailable', true);
  return REFUSED.has(code) ? fault('refused', false) : fault('unavailable', true);
}

/** etcd3 drops the numeric code, but the message of its error begins with it: `14 UNAVAILABLE: …`. */
export function statusIn(message: string): GrpcStatus {
  const match = /^(?:\w+: )?(\d{1,2}) [A-Z_]+: (.*)$/s.exec(message);
  return match === null ? { code: -1, details: message } : { code: Number(match[1]), details: match[2]! };
}
