import type { CpuTimes } from './main-cpu.ts';

/**
 * The state from which the worker decides whether the main thread runs away. Times are milliseconds of one monotonic clock.
 *
 *   calm ──burns CPU──► asked ──answers──► calm, `saturated` or `hot`: see `isSpinning`
 *                         └─ no answer for `stallMs`, with half of that time on the CPU ──► starved
 *
 * Time in which the watcher itself did not run (SIGSTOP, a suspended machine, a busy core) does not count. A thread that
 * neither answers nor uses the CPU is not starved. It waits, for example for a debugger or for `execFileSync`.
 */
export interface Watch {
  /** The time of the last check. */
  readonly at: number;
  /** CPU time of the main thread at the last check. */
  readonly cpu: CpuTimes;
  /** The question that the main thread has not answered yet. */
  readonly asked?: Question | undefined;
  /** The last question that the main thread answered. */
  readonly answered: Question & { readonly answeredAt: number };
  /** Since when the event loop has had no rest. A short rest moves this time forward: see `cooled`. */
  readonly busySince?: number | undefined;
  /** Since when the event loop has kept itself busy: see `isSpinning`. A short rest moves this time forward too. */
  readonly spinsSince?: number | undefined;
}

interface Question {
  readonly at: number;
  /** CPU time of the main thread when it was asked. */
  readonly burntMs: number;
}

export interface Thresholds {
  readonly stallMs: number;
  readonly hotMs: number;
  readonly hotUtilization: number;
}

/** What the event loop did since its last answer. */
export interface Turning {
  /** Share of that time in which it was busy, 0–1. */
  readonly utilization: number;
  /** Number of turns. undefined if Node does not count them. */
  readonly turns: number | undefined;
  /** Number of events from outside: sockets and threads. Timers do not count. */
  readonly events: number | undefined;
}

export type Sight =
  /** The worker checked the main thread, `lateMs` after the check was due. */
  | { readonly type: 'look'; readonly at: number; readonly cpu: CpuTimes; readonly lateMs: number }
  | ({ readonly type: 'answer'; readonly at: number } & Turning);

export interface Finding {
  readonly verdict: 'starved' | 'hot' | 'saturated';
  /** How long the problem has lasted. */
  readonly forMs: number;
  /** How much of a core the main thread used in that time, 0–1. For `hot` and `saturated`: between the last two checks. */
  readonly cpu: number;
}

/** If the main thread wants at least this share of a core, the worker asks whether its event loop turns. */
const WORTH_ASKING = 0.1;
/** A busy loop wants at least this share of a core. With less, the thread waits for a disk, a lock or a debugger. */
const BURNING = 0.3;
/** A starved thread uses the CPU for at least this share of `stallMs`. On a busy core it may not get more. */
const BURNT = 0.5;
/** A runaway uses the CPU for at least this share of `runawayMs`. A slow sort on a busy core uses less. */
const BURNT_BY_A_RUNAWAY = 0.8;
/** If a check is late by more than this, the watcher itself did not run. */
const PUNCTUAL_MS = 300;

export const beginWatch = (at: number, cpu: CpuTimes): Watch => ({
  at,
  cpu,
  answered: { at, burntMs: cpu.burntMs, answeredAt: at },
});

/** @returns the state after a check or an answer, whether to ask the main thread now, and what was found. Pure. */
export function watch(
  before: Watch,
  sight: Sight,
  thresholds: Thresholds,
): { watch: Watch; ask: boolean; finding?: Finding } {
  if (sight.type === 'answer') return { watch: answered(before, sight, thresholds), ask: false };
  const pausedMs = sight.lateMs > PUNCTUAL_MS ? sight.lateMs : 0;
  const now = withoutPause(before, pausedMs);
  const elapsed = Math.max(1, sight.at - before.at - pausedMs);
  const looked = { ...now, at: sight.at, cpu: sight.cpu };
  if (now.asked !== undefined) {
    const finding = starved(now.asked, sight.at, sight.cpu.burntMs, thresholds.stallMs);
    return { watch: looked, ask: false, ...(finding && { finding }) };
  }
  const wanted = (sight.cpu.wantedMs - before.cpu.wantedMs) / elapsed;
  const rested = wanted < BURNING ? { ...looked, ...cooled(now, sight.at, elapsed, thresholds) } : looked;
  if (wanted < WORTH_ASKING) return { watch: rested, ask: false };
  const asked = { ...rested, asked: { at: sight.at, burntMs: sight.cpu.burntMs } };
  const finding = restless(
    rested,
    Math.min(1, (sight.cpu.burntMs - before.cpu.burntMs) / elapsed),
    thresholds,
  );
  return { watch: asked, ask: true, ...(finding && { finding }) };
}

/** Whether a starved loop is a runaway, and not just a long block. */
export const hasRunAway = ({ forMs, cpu }: Finding, runawayMs: number): boolean =>
  forMs >= runawayMs && forMs * cpu >= runawayMs * BURNT_BY_A_RUNAWAY;

function starved(asked: Question, at: number, burntMs: number, stallMs: number): Finding | undefined {
  const forMs = at - asked.at;
  const cpu = (burntMs - asked.burntMs) / Math.max(1, forMs);
  const isStarved = forMs >= stallMs && forMs * cpu >= stallMs * BURNT;
  return isStarved ? { verdict: 'starved', forMs, cpu } : undefined;
}

function restless(
  { at, busySince = at, spinsSince = at }: Watch,
  cpu: number,
  { hotMs }: Thresholds,
): Finding | undefined {
  if (at - spinsSince >= hotMs) return { verdict: 'hot', forMs: at - spinsSince, cpu };
  if (at - busySince >= hotMs) return { verdict: 'saturated', forMs: at - busySince, cpu };
  return undefined;
}

function answered(before: Watch, answer: Sight & { type: 'answer' }, thresholds: Thresholds): Watch {
  const { at } = answer;
  const { answered: last, asked = { at: before.at, burntMs: before.cpu.burntMs } } = before;
  const restMs = Math.max(0, at - last.answeredAt);
  // One long block is not a loop, so it counts as at most `stallMs` of work.
  const blockedMs = Math.max(0, at - asked.at - thresholds.stallMs);
  const calm = cooled(before, at, restMs, thresholds);
  const since = (known: number | undefined): number => Math.min(at, (known ?? asked.at) + blockedMs);
  const isBusy = answer.utilization >= thresholds.hotUtilization;
  return {
    ...before,
    asked: undefined,
    answered: { ...asked, answeredAt: at },
    busySince: isBusy ? since(before.busySince) : calm.busySince,
    spinsSince: isSpinning(answer, asked.burntMs - last.burntMs) ? since(before.spinsSince) : calm.spinsSince,
  };
}

/** Least utilization of a `hot` loop, which never waits. A service waits for work now and then. */
const NEVER_WAITS = 0.99;
/** Fewest turns of a `hot` loop per second of CPU time. A service at full load makes fewer, longer turns. */
const SPINNING_TURNS = 2_000;
/** Most events of a `hot` loop per turn. A service at full load handles more. */
const SPINNING_EVENTS = 2;

/**
 * Distinguishes a loop that keeps itself busy (`hot`) from a service with too much work (`saturated`). The loop makes
 * thousands of short turns, with at most two events each on average. Measured in bench/false-alarms.md.
 */
function isSpinning({ utilization, turns = 0, events = 0 }: Turning, burntMs: number): boolean {
  return (
    utilization >= NEVER_WAITS &&
    burntMs > 0 &&
    turns >= (burntMs / 1000) * SPINNING_TURNS &&
    events <= turns * SPINNING_EVENTS
  );
}

/**
 * Every rest removes four times its length from the busy time. A loop that gets no CPU on a busy core also seems to rest.
 * So one short rest must not clear the whole busy time. The busy time of a thread that rests a quarter of the time does
 * not grow.
 */
function cooled(
  { busySince, spinsSince }: Watch,
  at: number,
  restMs: number,
  { hotMs }: Thresholds,
): Pick<Watch, 'busySince' | 'spinsSince'> {
  const cool = (since: number | undefined): number | undefined => {
    if (since === undefined) return undefined;
    const moved = Math.max(since, at - hotMs) + restMs * 4;
    return moved < at ? moved : undefined;
  };
  return { busySince: cool(busySince), spinsSince: cool(spinsSince) };
}

/** Moves the open question and the busy times forward, as if there had been no pause. */
const withoutPause = (before: Watch, pausedMs: number): Watch => ({
  ...before,
  asked: before.asked && { ...before.asked, at: before.asked.at + pausedMs },
  busySince: before.busySince === undefined ? undefined : before.busySince + pausedMs,
  spinsSince: before.spinsSince === undefined ? undefined : before.spinsSince + pausedMs,
});
