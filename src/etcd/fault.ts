/**
 * What etcd, the network or etcd3 answered instead of a result, sorted once into the few kinds that we act on.
 */

export type FaultKind =
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

export class EtcdFault extends Error {
  override readonly name = 'EtcdFault';
  readonly kind: FaultKind;
  /** Whether the request may have reached etcd: false only if it certainly had no effect. */
  readonly mayHaveHappened: boolean;

  constructor(kind: FaultKind, message: string, mayHaveHappened: boolean, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
    this.mayHaveHappened = mayHaveHappened;
  }
}

/** A fault that no waiting mends. */
export const isFinal = (fault: EtcdFault): boolean =>
  fault.kind === 'refused' || fault.kind === 'client-closed';

/**
 * Whether etcd itself has answered although the write may have happened. It cannot happen any more after that answer, so
 * a read decides.
 */
export const isAnswered = (fault: EtcdFault): boolean => /space exceeded/.test(fault.message);

/** The token has run out, or users or roles have changed since it was issued. Another one helps. */
export const isTokenRefused = ({ message }: EtcdFault): boolean =>
  /auth token is not valid|revision of auth store is old|user name is empty/.test(message);

/** gRPC status codes by what they mean to us; etcd's own errors arrive under them. */
const REFUSED = new Set([3, 7, 12, 16]);

export interface GrpcStatus {
  readonly code: number;
  readonly details: string;
}

export function faultOf(what: string, status: GrpcStatus | undefined, error: unknown): EtcdFault {
  if (error instanceof EtcdFault) return error;
  const cause = error instanceof Error ? error : new Error(String(error));
  const said = status === undefined ? cause.message : status.details;
  const message = `${what}: ${said}`;
  const fault = (kind: FaultKind, mayHaveHappened: boolean): EtcdFault =>
    new EtcdFault(kind, message, mayHaveHappened, { cause });

  if (/client was already closed/.test(cause.message)) return fault('client-closed', false);
  if (/requested lease not found/.test(said)) return fault('lease-gone', false);
  if (/revision has been compacted/.test(said)) return fault('compacted', false);
  // A token is renewed by the next try; wrong credentials are not.
  if (/invalid auth token|revision of auth store is old/.test(said)) return fault('unavailable', false);
  if (/authentication failed|permission denied|user name is empty/.test(said)) return fault('refused', false);
  if (/too many requests|etcdserver: no leader/.test(said)) return fault('unavailable', false);
  // An alarm of etcd's that stops all writes.
  if (/corrupt cluster/.test(said)) return fault('unavailable', false);
  // etcd applies the write that crosses its quota, and says so all the same.
  if (/space exceeded/.test(said)) return fault('unavailable', true);
  // gRPC found nobody to send it to.
  if (/^No connection established|^Name resolution failed/.test(said)) return fault('unavailable', false);
  // etcd3's breaker: it never let the call out.
  if (status === undefined && /circuit breaker is open/.test(cause.message))
    return fault('unavailable', false);
  const code = status?.code ?? codeIn(cause.message);
  return REFUSED.has(code) ? fault('refused', false) : fault('unavailable', true);
}

/** etcd3 drops the numeric code of an error, but its message begins with it: `14 UNAVAILABLE: …`. */
function codeIn(message: string): number {
  const match = /^(?:\w+: )?(\d{1,2}) [A-Z_]+:/.exec(message);
  return match === null ? -1 : Number(match[1]);
}
