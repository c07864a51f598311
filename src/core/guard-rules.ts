/**
 * What every round of every loop passes, as a value: history and time in, how long to wait out.
 *
 * It counts **rounds**, whatever their outcome: the loop that made this library necessary never failed, it
 * threw its result away and went round again. The rules, and where they come from:
 *
 * - a short **burst** goes at once (systemd's `StartLimitBurst`, OTP's `intensity`);
 * - after it each round waits, longer and longer, with jitter, up to a cap (Kubernetes' CrashLoopBackOff);
 * - success does not reset it, **sustained progress** does (CrashLoopBackOff's ten minutes, never exit code 0);
 * - a round is forgiven for each quiet spell between rounds, so a job once a minute is no runaway;
 * - rounds that end by the world's doing have a cap of their own, low, because recovery must be quick.
 *
 * Pure: no clock, no timer, no randomness of its own.
 */

export interface GuardLimits {
  /** Rounds that go at once before the first hold. */
  readonly burst: number;
  /** Sustained progress, or quiet between two rounds, that counts as health, in milliseconds. */
  readonly healthyAfterMs: number;
}

/** A growing sequence of delays; cockatiel's backoffs have this shape. */
export interface Delays {
  /** Delay of this step, in milliseconds. */
  readonly duration: number;
  next(context?: unknown): Delays;
}

/** First delays of the two sequences: one for rounds that we spoil ourselves, one for what the world spoils. */
export interface DelaySource {
  readonly caller: () => Delays;
  readonly environment: () => Delays;
}

export interface GuardHistory {
  /** Rounds since the last sustained progress that have not been forgiven. */
  readonly streak: number;
  /** All rounds ever. */
  readonly rounds: number;
  /** When the last round went on (its hold over), in milliseconds on a monotonic clock. */
  readonly releasedAtMs: number;
  /** The last delay of each sequence; undefined before the first hold. */
  readonly caller: Delays | undefined;
  readonly environment: Delays | undefined;
}

export interface Verdict {
  readonly history: GuardHistory;
  /** How long this round must wait, in milliseconds; 0 for a round within the burst. */
  readonly holdMs: number;
}

export const fresh: GuardHistory = {
  streak: 0,
  rounds: 0,
  releasedAtMs: Number.NEGATIVE_INFINITY,
  caller: undefined,
  environment: undefined,
};

export const isTripped = (history: GuardHistory, limits: GuardLimits): boolean =>
  history.streak > limits.burst;

/**
 * A caller who pauses for so long between two campaigns, in milliseconds, makes no hot loop: one round is forgiven for
 * each such pause. A job every two seconds is honest; a loop that is held begins again within milliseconds.
 */
export const PAUSE_MS = 1_500;

/** No delay is ever longer than this, or anything but a finite number: a NaN in a timer is a 1 ms loop. */
const LONGEST_HOLD_MS = 3_600_000;

/** One more round wants to start at `nowMs`: how long must it wait? */
export function admit(
  history: GuardHistory,
  origin: 'caller' | 'environment',
  limits: GuardLimits,
  source: DelaySource,
  nowMs: number,
): Verdict {
  const quietMs = nowMs - history.releasedAtMs;
  const forgiven = quietMs > 0 ? Math.floor(quietMs / limits.healthyAfterMs) : 0;
  const past = forgiven >= history.streak ? { ...fresh, rounds: history.rounds } : history;
  const streak = Math.max(0, history.streak - forgiven) + 1;
  const round = { ...past, streak, rounds: history.rounds + 1 };
  if (streak <= limits.burst) return { history: { ...round, releasedAtMs: nowMs }, holdMs: 0 };

  const delays = past[origin]?.next() ?? source[origin]();
  const holdMs = Number.isFinite(delays.duration)
    ? Math.min(Math.max(delays.duration, 1), LONGEST_HOLD_MS)
    : LONGEST_HOLD_MS;
  // What the world spoils is spaced from start to start: time already lost to a dead etcd counts. What we spoil
  // ourselves waits in full. Rounds side by side go one after another, but none waits for more than one other.
  const earliestMs =
    origin === 'environment' ? history.releasedAtMs + holdMs : Math.max(history.releasedAtMs, nowMs) + holdMs;
  const turnMs = Math.min(Math.max(earliestMs, nowMs), nowMs + 2 * holdMs);
  return { history: { ...round, [origin]: delays, releasedAtMs: turnMs }, holdMs: turnMs - nowMs };
}

/**
 * A round that was held went on, or was given up, at `nowMs`, before its turn: who comes next need not wait for a turn
 * that nobody takes. For rounds of the world's doing only: what we spoil ourselves must not gain by giving up.
 *
 * @param earlier the history that the round was admitted to. @param admitted what came of it.
 */
export function endHold(
  history: GuardHistory,
  earlier: GuardHistory,
  admitted: GuardHistory,
  nowMs: number,
): GuardHistory {
  if (history.releasedAtMs !== admitted.releasedAtMs) return history; // a later round already has its turn
  const releasedAtMs = Math.min(history.releasedAtMs, Math.max(nowMs, earlier.releasedAtMs));
  return { ...history, releasedAtMs };
}

/** The last round came to an orderly end, and is taken back. */
export const forgive = (history: GuardHistory): GuardHistory =>
  history.streak <= 1 ? { ...fresh, rounds: history.rounds } : { ...history, streak: history.streak - 1 };

/** A term, or an orderly wait, lasted for `heldMs`: is that health? */
export function progress(history: GuardHistory, heldMs: number, limits: GuardLimits): GuardHistory {
  return heldMs >= limits.healthyAfterMs ? { ...fresh, rounds: history.rounds } : history;
}
