/**
 * Limits how often one client dials, grants leases and restores watches. All elections of the client share the limit.
 * Otherwise a thousand elections would dial a thousand times.
 */
import { untilAny } from '../util/abort.ts';
import { privateGuard, type GuardSettings, type LoopGuard } from '../loop-guard/loop-guard.ts';
import { sharedBy } from '../loop-guard/registry.ts';
import { clock } from '../util/clock.ts';

/**
 * docs/design.md (L5) allows three seconds for a recovery. With these caps, a thousand elections have enough time left
 * to enter.
 */
export const RECONNECT: GuardSettings = {
  burst: 2,
  baseMs: 100,
  capMs: 2_200,
  outsideCapMs: 2_200,
  healthyAfterMs: 10_000,
};

/** How long a renewal has priority over other tries of the client, in milliseconds. */
const PRIORITY_MS = RECONNECT.outsideCapMs + 100;

export class ReconnectBackoff {
  readonly #client: object;
  #priorityUntilMs = 0;
  #priorityEnded = new AbortController();

  constructor(client: object) {
    this.#client = client;
  }

  /** Looked up on every use, because tests may reset the guards of the process. */
  get #guard(): LoopGuard {
    return sharedBy('reconnect-backoff', this.#client, () => privateGuard());
  }

  /**
   * Waits until the next try may begin, or the signal aborts.
   *
   * @param onTrip called when the guard trips, if that delays this try.
   */
  async pass(signal: AbortSignal, onTrip?: (holdMs: number) => void): Promise<void> {
    const listener = onTrip && {
      // If the last try was long ago, the guard trips without a delay.
      tripped: ({ holdMs }: { holdMs: number }) => holdMs > 0 && onTrip(holdMs),
      recovered: () => undefined,
    };
    do {
      await this.#awaitRenewal(signal);
      await this.#guard.pass('environment', RECONNECT, { signal, listener });
    } while (!signal.aborted && this.#priorityMs > 0);
  }

  async #awaitRenewal(signal: AbortSignal): Promise<void> {
    while (!signal.aborted && this.#priorityMs > 0)
      await untilAny([signal, this.#priorityEnded.signal], (wake) => clock.sleep(this.#priorityMs, wake));
  }

  get #priorityMs(): number {
    return this.#priorityUntilMs - clock.now();
  }

  /**
   * A failed renewal is tried again. Other tries wait for the renewal until {@link endPriority}, at most for {@link
   * PRIORITY_MS}.
   */
  prioritizeRenewal(): void {
    this.#priorityUntilMs = clock.now() + PRIORITY_MS;
  }

  /** etcd has answered, or a lease has ended: the other tries continue now. */
  endPriority(): void {
    this.#priorityUntilMs = 0;
    this.#priorityEnded.abort();
    this.#priorityEnded = new AbortController();
  }

  /** Records for how long etcd has been reachable without failures, in milliseconds. */
  healthyFor(healthyMs: number): void {
    this.#guard.healthyFor(healthyMs, RECONNECT);
  }

  /** The last try no longer counts, because its lease was revoked before it had expired. */
  forgive(): void {
    this.#guard.forgive();
  }

  /** etcd has answered, so tries that wait begin now. */
  wake(): void {
    this.endPriority();
    this.#guard.wake();
  }
}

/**
 * Delays the failing renewals of one lease. A short lease needs more tries than the client's back-off allows. Otherwise
 * one short outage could cost the lease.
 */
export class RenewalBackoff {
  readonly #settings: GuardSettings;
  readonly #guard = privateGuard();
  readonly #ofClient: ReconnectBackoff;

  /** @param ofClient back-off of the client's other tries, which wait while this lease reconnects. */
  constructor(grantedTtlSeconds: number, ofClient: ReconnectBackoff) {
    const outsideCapMs = Math.min(RECONNECT.outsideCapMs, grantedTtlSeconds * 250);
    this.#settings = { ...RECONNECT, burst: 1, baseMs: 250, outsideCapMs };
    this.#ofClient = ofClient;
  }

  async pass(signal: AbortSignal): Promise<void> {
    await this.#guard.pass('environment', this.#settings, { signal });
    if (!signal.aborted) this.#ofClient.prioritizeRenewal(); // an aborted signal means that the lease is over
  }

  /** Records for how long the lease has been renewed without failures, in milliseconds. */
  healthyFor(healthyMs: number): void {
    this.#guard.healthyFor(healthyMs, this.#settings);
  }

  /** The lease is over: other tries no longer wait for it. */
  end(): void {
    this.#ofClient.endPriority();
  }
}
