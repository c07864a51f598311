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

const guards = new WeakMap<Etcd3, LoopGuard>();

export function paceOf(client: Etcd3, ttlSeconds: number): Pace {
  let guard = guards.get(client);
  if (guard === undefined) guards.set(client, (guard = new LoopGuard('', '')));
  const link = guard;
  const settings: GuardSettings = {
    burst: 2,
    baseMs: 100,
    capMs: 2_500,
    // A short lease must be tried for more often than each 2.5 s, or it is lost to one hiccup.
    outsideCapMs: Math.min(2_500, ttlSeconds * 250),
    healthyAfterMs: 10_000,
  };
  return {
    pass: (signal) => link.pass('outside', settings, { signal }),
    settle: (heldMs) => link.settle(heldMs, settings),
    nudge: () => link.nudge(),
  };
}
