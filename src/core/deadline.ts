/**
 * Computes until when a lease is valid for us, and when to renew it.
 */

export interface LeaseProof {
  /**
   * When the acknowledged grant or keep-alive was **sent**, in milliseconds on our clock. Behind a proxy this time is computed,
   * and is earlier than the true time.
   */
  readonly sentAtMs: number;
  /** The TTL that etcd **granted** (`TTL` of its reply), in seconds. It can be longer than the requested TTL. */
  readonly grantedTtlSeconds: number;
}

/**
 * The first moment at which etcd may expire the lease, in milliseconds on the clock of `sentAtMs`.
 *
 * etcd counts the TTL from the moment at which it *handles* a keep-alive. We count from the moment at which we *send* it. The
 * moment of sending is never later, so our result is safe. If we counted from the reply, two replicas could lead.
 */
export function expiresAtMs({ sentAtMs, grantedTtlSeconds }: LeaseProof): number {
  return sentAtMs + grantedTtlSeconds * 1000;
}

/**
 * The deadline: the last moment at which we may act on the lease, in milliseconds on the same clock.
 *
 * @param marginMs time reserved for clocks that run at different rates, and for stopping the work, in milliseconds.
 * @throws {RangeError} if the margin is not shorter than the TTL.
 */
export function validUntilMs(proof: LeaseProof, marginMs: number): number {
  if (!(marginMs < proof.grantedTtlSeconds * 1000))
    throw new RangeError(
      `a margin of ${marginMs} ms is not shorter than a lease of ${proof.grantedTtlSeconds} s`,
    );
  return expiresAtMs(proof) - marginMs;
}

/** How often a lease is renewed, in milliseconds: every third of its TTL. */
export function renewEveryMs(grantedTtlSeconds: number): number {
  return (grantedTtlSeconds * 1000) / 3;
}

/**
 * When the next renewal is due, on the same clock. Two renewals begin at least a quarter of {@link renewEveryMs} apart. This
 * minimum matters behind `etcd grpc-proxy`. There `sentAtMs` is computed from a remaining TTL in whole seconds, and can lie far
 * back.
 *
 * @param begunAtMs when the last renewal began.
 */
export function renewAtMs({ sentAtMs, grantedTtlSeconds }: LeaseProof, begunAtMs: number): number {
  const everyMs = renewEveryMs(grantedTtlSeconds);
  return Math.max(sentAtMs + everyMs, begunAtMs + everyMs / 4);
}

/**
 * How long one renewal may stay unanswered before a new stream is tried, in milliseconds: a quarter of the TTL. The first
 * renewal begins after a third of the TTL, so there is time for two more tries. The read that confirms the renewal has the
 * same limit. Behind a proxy the limit is longer, because a proxy may answer late.
 */
export function answerLimitMs(grantedTtlSeconds: number, isProxied = false): number {
  return (grantedTtlSeconds * 1000) / 4 + (isProxied ? renewEveryMs(grantedTtlSeconds) + PROXY_TICK_MS : 0);
}

/** How often `etcd grpc-proxy` checks whether a renewal is due, in milliseconds. The proxy renews every third of the TTL. */
const PROXY_TICK_MS = 500;

/**
 * The shortest TTL that works behind `etcd grpc-proxy`, in seconds. The proxy reports the remaining TTL in whole seconds,
 * rounded down, and its next renewal may be {@link PROXY_TICK_MS} late.
 */
export const SHORTEST_PROXIED_TTL_SECONDS = 5;

/** The shortest lease that etcd grants with its default election timeout, in seconds. */
export const SHORTEST_TTL_SECONDS = 2;

/** A longer TTL causes a warning. */
export const UNUSUAL_TTL_SECONDS = 300;

/** The default margin, in milliseconds: a tenth of the granted TTL. */
export function defaultMarginMs(grantedTtlSeconds: number): number {
  return grantedTtlSeconds * 100;
}
