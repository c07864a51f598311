/**
 * The one guard of everything that the elections of a client share: dialling, granting, watching again. A
 * thousand elections do not make a thousand dialling loops.
 */
import type { Etcd3 } from 'etcd3';
import { LoopGuard, type GuardSettings } from './guard.ts';

export interface Pace {
  /** Waits until the next try may begin, or the signal aborts. */
  pass(signal: AbortSignal): Promise<void>;
  /** The link has been well for this long, in milliseconds. */
  settle(heldMs: number): void;
  /** etcd answered: whoever waits for the next try need not. */
  nudge(): void;
}

const SETTINGS: GuardSettings = {
  burst: 2,
  baseMs: 100,
  capMs: 2_500,
  outsideCapMs: 2_500,
  healthyAfterMs: 10_000,
};

const guards = new WeakMap<Etcd3, LoopGuard>();

/** The pace of all that a client's elections share. */
export function paceOf(client: Etcd3): Pace {
  let guard = guards.get(client);
  if (guard === undefined) guards.set(client, (guard = new LoopGuard('', '')));
  return paced(guard, SETTINGS);
}

/**
 * The pace of renewing one lease while it may still be saved: a short one must be tried for more often than each
 * 2.5 s, or it is lost to one hiccup. Ends with the lease.
 */
export function renewalPace(grantedTtlSeconds: number): Pace {
  const outsideCapMs = Math.min(SETTINGS.outsideCapMs, grantedTtlSeconds * 250);
  return paced(new LoopGuard('', ''), { ...SETTINGS, outsideCapMs });
}

const paced = (guard: LoopGuard, settings: GuardSettings): Pace => ({
  pass: (signal) => guard.pass('outside', settings, { signal }),
  settle: (heldMs) => guard.settle(heldMs, settings),
  nudge: () => guard.nudge(),
});
