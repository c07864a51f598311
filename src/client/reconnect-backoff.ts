/**
 * The one guard of everything that the elections of a client share: dialling, granting, watching again. A
 * thousand elections do not make a thousand dialling loops.
 */
import { untilAny } from '../util/abort.ts';
import { LoopGuard, type GuardSettings } from '../loop-guard/loop-guard.ts';
import { sharedBy } from '../loop-guard/registry.ts';
import { clock } from '../util/clock.ts';

/** The caps leave the rest of L5's three seconds for the entries of a thousand elections. */
const SETTINGS: GuardSettings = {
  burst: 2,
  baseMs: 100,
  capMs: 2_200,
  outsideCapMs: 2_200,
  healthyAfterMs: 10_000,
};

/** How long the client's other tries wait after a renewal that reconnects first, in milliseconds. */
const PRIORITY_MS = SETTINGS.outsideCapMs + 100;

export class ReconnectBackoff {
  readonly #client: object;
  #priorityUntilMs = 0;
  #priorityEnded = new AbortController();

  constructor(client: object) {
    this.#client = client;
  }

  /** Found when it is needed, because tests may reset the guards of the process. */
  get #guard(): LoopGuard {
    return sharedBy('reconnect-backoff', this.#client, () => new LoopGuard('', ''));
  }

  /** Waits until the next try may begin, or the signal aborts. @param onTrip called with the first hold of many. */
  async pass(signal: AbortSignal, onTrip?: (holdMs: number) => void): Promise<void> {
    const listener = onTrip && {
      tripped: ({ holdMs }: { holdMs: number }) => onTrip(holdMs),
      recovered: () => undefined,
    };
    do {
      await this.#awaitRenewal(signal);
      await this.#guard.pass('environment', SETTINGS, { signal, listener });
    } while (!signal.aborted && this.#priorityMs > 0);
  }

  async #awaitRenewal(signal: AbortSignal): Promise<void> {
    while (!signal.aborted && this.#priorityMs > 0)
      await untilAny([signal, this.#priorityEnded.signal], (wake) => clock.sleep(this.#priorityMs, wake));
  }

  get #priorityMs(): number {
    return this.#priorityUntilMs - clock.now();
  }

  /** A lease is near expiry: its renewal reconnects first, for all. It says when it gets through, or is lost. */
  prioritizeRenewal(): void {
    this.#priorityUntilMs = clock.now() + PRIORITY_MS;
  }

  /** No lease is near expiry any more: the other tries go on now. */
  endPriority(): void {
    this.#priorityUntilMs = 0;
    this.#priorityEnded.abort();
    this.#priorityEnded = new AbortController();
  }

  /** etcd has been reached without trouble for this long, in milliseconds. */
  healthyFor(healthyMs: number): void {
    this.#guard.healthyFor(healthyMs, SETTINGS);
  }

  /** What the last try brought was given back in order: it does not count. */
  forgive(): void {
    this.#guard.forgive();
  }

  /** etcd answered: no try need wait any longer. */
  wake(): void {
    this.endPriority();
    this.#guard.wake();
  }
}

/**
 * Delays the renewals of one lease while it may still be saved: a short one must be tried for more often than the client
 * dials, or it is lost to one hiccup. Ends with the lease.
 */
export class RenewalBackoff {
  readonly #settings: GuardSettings;
  readonly #guard = new LoopGuard('', '');
  readonly #ofClient: ReconnectBackoff;

  /** @param ofClient the client's other tries wait while this one reconnects. */
  constructor(grantedTtlSeconds: number, ofClient: ReconnectBackoff) {
    const outsideCapMs = Math.min(SETTINGS.outsideCapMs, grantedTtlSeconds * 250);
    this.#settings = { ...SETTINGS, burst: 1, baseMs: 250, outsideCapMs };
    this.#ofClient = ofClient;
  }

  /** Waits until the next try may begin, or the signal aborts. */
  async pass(signal: AbortSignal): Promise<void> {
    await this.#guard.pass('environment', this.#settings, { signal });
    if (!signal.aborted) this.#ofClient.prioritizeRenewal(); // aborted: it is over
  }

  /** The lease has been renewed without trouble for this long, in milliseconds. */
  healthyFor(healthyMs: number): void {
    this.#guard.healthyFor(healthyMs, this.#settings);
  }

  /** The lease is over: no other try need wait for it. */
  end(): void {
    this.#ofClient.endPriority();
  }
}
