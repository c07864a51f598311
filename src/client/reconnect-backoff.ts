/**
 * The one guard of everything that the elections of a client share: dialling, granting, watching again. A
 * thousand elections do not make a thousand dialling loops.
 */
import { untilAny } from '../util/abort.ts';
import type { Etcd3 } from 'etcd3';
import { LoopGuard, type GuardSettings } from '../loop-guard/loop-guard.ts';
import { shared } from '../loop-guard/registry.ts';
import { clock } from '../util/clock.ts';

export interface ReconnectBackoff {
  /** Waits until the next try may begin, or the signal aborts. @param onTrip called with the first hold of many. */
  pass(signal: AbortSignal, onTrip?: (holdMs: number) => void): Promise<void>;
  /** The link has been well for this long, in milliseconds. */
  healthyFor(healthyMs: number): void;
  /** etcd answered: whoever waits for the next try need not. */
  wake(): void;
  /** What the last try brought was given back in order: it does not count. */
  forgive(): void;
}

/** The caps leave the rest of L5's three seconds for the entries of a thousand elections. */
const SETTINGS: GuardSettings = {
  burst: 2,
  baseMs: 100,
  capMs: 2_200,
  outsideCapMs: 2_200,
  healthyAfterMs: 10_000,
};

/** For so long after a try to save a lease the client's other tries leave the dialling to it, in milliseconds. */
const SAVING_MS = SETTINGS.outsideCapMs + 100;

class SharedBackoff implements ReconnectBackoff {
  readonly #client: Etcd3;
  #savingUntilMs = 0;
  #nudged = new AbortController();

  constructor(client: Etcd3) {
    this.#client = client;
  }

  /** Found when it is needed, because tests may reset the guards of the process. */
  get #guard(): LoopGuard {
    const guards = shared('paces', '', () => new WeakMap<Etcd3, LoopGuard>());
    let guard = guards.get(this.#client);
    if (guard === undefined) guards.set(this.#client, (guard = new LoopGuard('', '')));
    return guard;
  }

  async pass(signal: AbortSignal, onTrip?: (holdMs: number) => void): Promise<void> {
    const listener = onTrip && {
      tripped: ({ holdMs }: { holdMs: number }) => onTrip(holdMs),
      recovered: () => undefined,
    };
    do {
      await this.#saved(signal);
      await this.#guard.pass('environment', SETTINGS, { signal, listener });
    } while (!signal.aborted && this.#savingMs > 0);
  }

  async #saved(signal: AbortSignal): Promise<void> {
    while (!signal.aborted && this.#savingMs > 0)
      await untilAny([signal, this.#nudged.signal], (wake) => clock.sleep(this.#savingMs, wake));
  }

  get #savingMs(): number {
    return this.#savingUntilMs - clock.now();
  }

  /** A lease is tried to be saved now: it dials for all, and says so when it gets through, or is lost. */
  prioritizeRenewal(): void {
    this.#savingUntilMs = clock.now() + SAVING_MS;
  }

  /** There is nothing left to save: whoever left the dialling to it dials now. */
  endSaving(): void {
    this.#savingUntilMs = 0;
    this.#nudged.abort();
    this.#nudged = new AbortController();
  }

  healthyFor(healthyMs: number): void {
    this.#guard.healthyFor(healthyMs, SETTINGS);
  }

  forgive(): void {
    this.#guard.forgive();
  }

  wake(): void {
    this.endSaving();
    this.#guard.wake();
  }
}

export interface RenewalBackoff extends Omit<ReconnectBackoff, 'forgive'> {
  /** The lease is over: nobody need wait for it to be saved. */
  end(): void;
}

const backoffs = new WeakMap<Etcd3, SharedBackoff>();

/** The pace of all that a client's elections share. */
export function reconnectBackoffOf(client: Etcd3): ReconnectBackoff {
  let backoff = backoffs.get(client);
  if (backoff === undefined) backoffs.set(client, (backoff = new SharedBackoff(client)));
  return backoff;
}

/**
 * The pace of renewing one lease while it may still be saved: a short one must be tried for more often than the
 * client dials, or it is lost to one hiccup. Ends with the lease.
 *
 * @param ofClient the client's pace: whoever waits there to dial leaves it to this one meanwhile.
 */
export function renewalBackoff(grantedTtlSeconds: number, ofClient?: ReconnectBackoff): RenewalBackoff {
  const settings = {
    ...SETTINGS,
    burst: 1,
    baseMs: 250,
    outsideCapMs: Math.min(SETTINGS.outsideCapMs, grantedTtlSeconds * 250),
  };
  const guard = new LoopGuard('', '');
  return {
    pass: async (signal) => {
      await guard.pass('environment', settings, { signal });
      if (ofClient instanceof SharedBackoff && !signal.aborted) ofClient.prioritizeRenewal(); // aborted: it is over
    },
    healthyFor: (healthyMs) => guard.healthyFor(healthyMs, settings),
    wake: () => guard.wake(),
    end: () => {
      if (ofClient instanceof SharedBackoff) ofClient.endSaving();
    },
  };
}
