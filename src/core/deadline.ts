/**
 * When a lease may be believed, and when to renew it. Pure arithmetic on one clock.
 */

export interface LeaseProof {
  /** Clock when the acknowledged grant or keep-alive was **sent**, in milliseconds. */
  readonly sentAtMs: number;
  /** What etcd **granted** (`TTL` of its reply), in seconds; it can be more than was asked. */
  readonly grantedTtlSeconds: number;
}

/**
 * The first moment at which etcd may let the lease go, in milliseconds on the clock of `sentAtMs`.
 *
 * etcd counts the TTL from when it *handles* a keep-alive, which is never before we *sent* it. Counting from
 * the send can therefore only be early, which is safe; counting from the reply would be late by up to one
 * round trip: two leaders.
 */
export function expiresAtMs({ sentAtMs, grantedTtlSeconds }: LeaseProof): number {
  return sentAtMs + grantedTtlSeconds * 1000;
}

/**
 * The last moment at which we may believe that we hold the lease, in milliseconds on the same clock.
 *
 * @param marginMs held back for clocks that run at different rates, and for stopping the work.
 * @throws {RangeError} if the margin leaves nothing of the TTL.
 */
export function validUntilMs(proof: LeaseProof, marginMs: number): number {
  if (!(marginMs < proof.grantedTtlSeconds * 1000))
    throw new RangeError(`a margin of ${marginMs} ms leaves nothing of a ${proof.grantedTtlSeconds} s lease`);
  return expiresAtMs(proof) - marginMs;
}

/** How often a lease is renewed: each third of its TTL, in milliseconds. */
export function renewEveryMs(grantedTtlSeconds: number): number {
  return (grantedTtlSeconds * 1000) / 3;
}

/**
 * How long one renewal may stay unanswered before a new stream is tried, in milliseconds: a quarter of the
 * TTL, so that after the first third has passed there is time for two more tries, each on another connection. So long
 * may the read that confirms it take, too. A proxy may answer late.
 */
export function answerLimitMs(grantedTtlSeconds: number, isProxied = false): number {
  return (grantedTtlSeconds * 1000) / 4 + (isProxied ? renewEveryMs(grantedTtlSeconds) + PROXY_TICK_MS : 0);
}

/** `etcd grpc-proxy` renews each third of the TTL by itself, and looks whether that is due as often as this, in milliseconds. */
const PROXY_TICK_MS = 500;

/**
 * The shortest TTL that can be kept behind `etcd grpc-proxy`, in seconds: what is left of a lease comes in whole seconds,
 * rounded down, and the next renewal may come {@link PROXY_TICK_MS} late.
 */
export const SHORTEST_PROXIED_TTL_SECONDS = 5;

/** The shortest lease that etcd grants with its default election timeout, in seconds. */
export const SHORTEST_TTL_SECONDS = 2;

/** Default margin, in milliseconds: a tenth of the TTL granted. */
export function defaultMarginMs(grantedTtlSeconds: number): number {
  return grantedTtlSeconds * 100;
}
