/**
 * Computes from a loop's history how long its next round must wait.
 *
 * The loop guard counts all rounds, including successful ones, because a hot loop may succeed in every round. The rules, and
 * where they come from:
 *
 * - A short **burst** of rounds is not delayed (systemd's `StartLimitBurst`, OTP's `intensity`).
 * - After the burst every round waits. The delays grow, with jitter, up to a cap (Kubernetes' CrashLoopBackOff).
 * - Only **sustained progress** resets the count, not success. (CrashLoopBackOff resets after ten minutes, not on exit code 0.)
 * - Each `healthyAfterMs` of quiet between rounds forgives one round. So a job that runs once a minute is never delayed.
 * - Rounds that end because of etcd or the network have their own low cap, because recovery must be quick.
 */

import type { Origin } from './campaign-state.ts';

export interface GuardLimits {
  readonly burst: number;
  /** How long progress must last to reset the count, and how much quiet time forgives one round, in milliseconds. */
  readonly healthyAfterMs: number;
}

/** A growing sequence of delays; cockatiel's backoffs have this shape. */
export interface Delays {
  /** In milliseconds. */
  readonly duration: number;
  next(context?: unknown): Delays;
}

/** Creates the sequence of delays for each {@link Origin}. */
export interface DelaySource {
  readonly caller: () => Delays;
  readonly environment: () => Delays;
}

export interface GuardHistory {
  /** Rounds since the last sustained progress that have not been forgiven. */
  readonly streak: number;
  /**
   * How many rounds of the streak the caller caused, by calling the library or by ending the previous round. The other
   * rounds are retries after an outside cause.
   */
  readonly called: number;
  /** All rounds ever. */
  readonly rounds: number;
  /** When the last round was or will be released, in milliseconds on a monotonic clock. */
  readonly releasedAtMs: number;
  /** The last delay of each sequence; undefined before the first hold. */
  readonly caller: Delays | undefined;
  readonly environment: Delays | undefined;
}

export interface Admission {
  readonly history: GuardHistory;
  /** How long this round must wait, in milliseconds; 0 for a round within the burst. */
  readonly holdMs: number;
}

export const fresh: GuardHistory = {
  streak: 0,
  called: 0,
  rounds: 0,
  releasedAtMs: Number.NEGATIVE_INFINITY,
  caller: undefined,
  environment: undefined,
};

export const isTripped = (history: GuardHistory, limits: GuardLimits): boolean =>
  history.streak > limits.burst;

/** Whether the caller runs a loop. Retries during an outage do not count. */
export const isLoop = (history: GuardHistory, limits: GuardLimits): boolean => history.called > limits.burst;

/**
 * A pause of this length, in milliseconds, before a call by the user forgives one round. So a job every two seconds is
 * never delayed.
 */
export const PAUSE_MS = 1_500;

/**
 * One delay is at most this long, in milliseconds. It also replaces a delay that is not a finite number, because a timer set
 * to NaN would fire after one millisecond.
 */
const LONGEST_HOLD_MS = 3_600_000;

/**
 * Admits one more round at `nowMs`, and computes how long it must wait.
 *
 * @param isRetry whether it is a retry after an outside cause.
 * @param begunAtMs for a call that failed because of etcd: when it began. Its wait for etcd does not count as a pause of
 *   the caller. Default: `nowMs`.
 */
export function admit(
  history: GuardHistory,
  origin: Origin,
  limits: GuardLimits,
  source: DelaySource,
  nowMs: number,
  isRetry = false,
  begunAtMs: number = nowMs,
): Admission {
  const quietMs = begunAtMs - history.releasedAtMs;
  const forgiven = quietMs > 0 ? Math.floor(quietMs / limits.healthyAfterMs) : 0;
  const past = forgiven >= history.streak ? { ...fresh, rounds: history.rounds } : history;
  const streak = Math.max(0, history.streak - forgiven) + 1;
  const called = Math.max(0, history.called - forgiven) + (isRetry ? 0 : 1);
  const round = { ...past, streak, called, rounds: history.rounds + 1 };
  if (streak <= limits.burst) return { history: { ...round, releasedAtMs: nowMs }, holdMs: 0 };

  const delays = past[origin]?.next() ?? source[origin]();
  const holdMs = Number.isFinite(delays.duration)
    ? Math.min(Math.max(delays.duration, 1), LONGEST_HOLD_MS)
    : LONGEST_HOLD_MS;
  // After an outside cause the delay counts from the release of the last round. So the delay includes the time for which the
  // last round waited for a dead etcd. If the caller ended the last round, the delay counts from now. If a round is still held,
  // the delay counts from the release of that round.
  const earliestMs =
    origin === 'environment' ? history.releasedAtMs + holdMs : Math.max(history.releasedAtMs, nowMs) + holdMs;
  const releasedAtMs = Math.min(Math.max(earliestMs, nowMs), nowMs + 2 * holdMs);
  return { history: { ...round, [origin]: delays, releasedAtMs }, holdMs: releasedAtMs - nowMs };
}

/**
 * Records that a held round ended early, at `nowMs`. The delay of the next round then counts from now, not from the planned
 * end of that hold. Call it only after outside causes: a loop must not become faster by giving up its rounds.
 *
 * @param earlier the history before the round was admitted.
 * @param admitted the history after it was admitted.
 */
export function endHold(
  history: GuardHistory,
  earlier: GuardHistory,
  admitted: GuardHistory,
  nowMs: number,
): GuardHistory {
  if (history.releasedAtMs !== admitted.releasedAtMs) return history; // a later round has been admitted meanwhile
  const releasedAtMs = Math.min(history.releasedAtMs, Math.max(nowMs, earlier.releasedAtMs));
  return { ...history, releasedAtMs };
}

/** Forgets one round, because it ended as intended. */
export const forgive = (history: GuardHistory): GuardHistory =>
  history.streak <= 1
    ? { ...fresh, rounds: history.rounds }
    : { ...history, streak: history.streak - 1, called: Math.max(0, history.called - 1) };

/** Forgets all rounds if a term, or a wait in the queue, has lasted long enough. */
export function progress(history: GuardHistory, heldMs: number, limits: GuardLimits): GuardHistory {
  return heldMs >= limits.healthyAfterMs ? { ...fresh, rounds: history.rounds } : history;
}
