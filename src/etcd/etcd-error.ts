/**
 * What etcd, the network or etcd3 answered instead of a result, sorted once into the few kinds that we act on.
 *
 * Only etcd's own words are final. Gateways and proxies on the way answer with the same codes: their answers are outages.
 */

import { plainCauseWithCertificate } from '../core/plain-cause.ts';

export type EtcdErrorKind =
  /** Not reachable, too slow, overloaded, out of space: try again later. */
  | 'unavailable'
  /** Wrong credentials, permission denied, an invalid argument: asking again cannot help. */
  | 'refused'
  /** The user closed the client. */
  | 'client-closed'
  /** The lease is not known to etcd (any more). */
  | 'lease-gone'
  /** The revision we asked from has been compacted away. */
  | 'compacted'
  /** We were told to stop before an answer came. */
  | 'aborted';

export class EtcdError extends Error {
  override readonly name = 'EtcdError';
  readonly kind: EtcdErrorKind;
  /** Whether the request may have reached etcd: false only if it certainly had no effect. */
  readonly mayHaveHappened: boolean;

  constructor(kind: EtcdErrorKind, message: string, mayHaveHappened: boolean, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
    this.mayHaveHappened = mayHaveHappened;
  }
}

/** A fault that no waiting mends. */
export const isFinal = (fault: EtcdError): boolean =>
  fault.kind === 'refused' || fault.kind === 'client-closed';

/**
 * Whether etcd itself has answered although the write may have happened. It cannot happen any more after that answer, so
 * a read decides.
 */
export const isAnswered = (fault: EtcdError): boolean => /space exceeded/.test(fault.message);

/**
 * Another token helps. This one has run out; or users or roles have changed since it was issued, for JWT tokens carry the
 * revision of that store; or there is none, because authentication was switched off when we asked.
 */
export const isTokenRefused = (said: string): boolean =>
  /invalid auth token|revision of auth store is old|user name is empty/.test(said);

/** INVALID_ARGUMENT and PERMISSION_DENIED. */
const REFUSED = new Set([3, 7]);

/** How every error of etcd's own begins, in the releases that we know. */
const BY_ETCD = /^etcdserver: /;

/** The member said so itself: it is reached, and the trouble is not on the way. */
export const isByEtcd = (status: GrpcStatus): boolean => BY_ETCD.test(status.details);

/** The member refuses all that we ask for, because it is a learner or reaches no leader: another one may not. */
export const isUnfit = (status: GrpcStatus): boolean =>
  /^etcdserver: (rpc not supported for learner|no leader|not capable|server stopped|corrupt cluster)/.test(
    status.details,
  );

/** gRPC gave the call up before it was sent, or the server's HTTP/2 layer refused it unread. */
const NEVER_SENT =
  /^No connection established|^Name resolution failed|^Channel closed before call started|^Stream refused by server|^Failed to start HTTP\/2 stream|^Attempted to send message/;

/**
 * etcd says this before it proposes anything to the cluster, of a read, or where its log has certainly not taken the entry.
 * ("request timed out" and "server stopped" may come after the entry was proposed.)
 */
const NOT_DONE =
  /^etcdserver: (too many requests|no leader|not capable|rpc not supported for learner|leader changed|corrupt cluster)|^raft proposal dropped/;

/** The request itself is larger than etcd or gRPC takes, or is none that gRPC can write. */
const NOT_SENDABLE =
  /^grpc: received message larger than max|^Attempted to send message|^Request message serialization failure/;

export interface GrpcStatus {
  readonly code: number;
  readonly details: string;
}

export function etcdErrorOf(what: string, status: GrpcStatus | undefined, error: unknown): EtcdError {
  if (error instanceof EtcdError) return error;
  const cause = error instanceof Error ? error : new Error(String(error));
  const { code, details: said } = status ?? statusIn(cause.message);
  // With a status of etcd's, etcd3's error only shows the one that etcd3 is given instead: see intercept.ts.
  const options = status === undefined ? { cause } : {};
  const told = plainCauseWithCertificate(said);
  const fault = (kind: EtcdErrorKind, mayHaveHappened: boolean): EtcdError =>
    new EtcdError(kind, `${what}: ${told}`, mayHaveHappened, options);

  if (/client was already closed/.test(cause.message)) return fault('client-closed', false);
  if (NOT_SENDABLE.test(said)) return fault('refused', false);
  // etcd3's breaker, on a client that we use as it is: it never let the call out.
  if (NEVER_SENT.test(said) || /circuit breaker is open/.test(said)) return fault('unavailable', false);
  if (NOT_DONE.test(said)) return fault('unavailable', false);
  if (!BY_ETCD.test(said)) return fault('unavailable', true);
  if (/requested lease not found/.test(said)) return fault('lease-gone', false);
  if (/revision has been compacted/.test(said)) return fault('compacted', false);
  // A token is renewed by the next try; wrong credentials are not.
  if (/invalid auth token|revision of auth store is old/.test(said)) return fault('unavailable', false);
  // etcd applies the write that crosses its quota, and says so all the same.
  if (/space exceeded/.test(said)) return fault('unavailable', true);
  return REFUSED.has(code) ? fault('refused', false) : fault('unavailable', true);
}

/** etcd3 drops the numeric code of an error, but its message begins with it: `14 UNAVAILABLE: …`. */
export function statusIn(message: string): GrpcStatus {
  const match = /^(?:\w+: )?(\d{1,2}) [A-Z_]+: (.*)$/s.exec(message);
  return match === null ? { code: -1, details: message } : { code: Number(match[1]), details: match[2]! };
}
