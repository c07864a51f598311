import type { CpuTimes } from './main-cpu.ts';

/**
 * Decides whether the main thread runs away. A worker can see the main thread's CPU time, whether it answers, and the counters of
 * its event loop. Pure: a `Watch` value is the only state. Times are milliseconds of one monotonic clock.
 *
 *   calm ──burns CPU──► asked ──answers──► calm, `saturated` or `hot`: see `isSpinning`
 *                         └─ no answer, and it burns CPU all the while ──► starved
 *
 * Time in which the watcher itself did not run does not count, because the main thread could not answer either. Examples are
 * SIGSTOP, a suspended machine and a busy core. A thread that neither answers nor uses the CPU waits for something outside,
 * such as a debugger or `execFileSync`. That does not count either.
 */
export interface Watch {
  readonly at: number;
  /** CPU time of the main thread at the last look. */
  readonly cpu: CpuTimes;
  /** The question that the main thread has not answered yet. */
  readonly asked?: Question | undefined;
  /** The last question that it answered, and when the answer came. */
  readonly answered: Question & { readonly answeredAt: number };
  /** Since when its event loop has had no rest. A short rest moves this forward, see `cooled`. */
  readonly busySince?: number | undefined;
  /** Since when the loop keeps itself busy, see `isSpinning`. A rest moves it forward too. */
  readonly spinsSince?: number | undefined;
}

interface Question {
  readonly at: number;
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
  /** How often it turned. undefined if Node does not count that. */
  readonly turns: number | undefined;
  /** How many events from outside (sockets, timers, threads) it handled. */
  readonly events: number | undefined;
}

export type Sight =
  /** The worker checked the main thread, `lateMs` after the check was due. */
  | { readonly type: 'look'; readonly at: number; readonly cpu: CpuTimes; readonly lateMs: number }
  /** The main thread answered. */
  | ({ readonly type: 'answer'; readonly at: number } & Turning);

export interface Finding {
  readonly verdict: 'starved' | 'hot' | 'saturated';
  /** For how long it has been seen. */
  readonly forMs: number;
  /** How much of a core the main thread used in that time, 0–1. For `hot` and `saturated`: at the last check. */
  readonly cpu: number;
}

/** If the main thread uses or waits for at least this share of a core, the worker asks it whether it turns. */
const WORTH_ASKING = 0.1;
/** A busy loop wants at least this share of a core (see `wantedMs`). With less, it waits for a disk, a lock or a debugger. */
const BURNING = 0.3;
/** A thread starves its loop if it used CPU time for this share of `stallMs` without an answer. It is only half, because on a busy core the thread gets only a part of the CPU. */
const BURNT = 0.5;
/** The same for `runawayMs`. This share is larger, so that a slow sort on a busy core is no runaway. */
const BURNT_BY_A_RUNAWAY = 0.8;
/** A check that is late by up to this much is normal. */
const PUNCTUAL_MS = 300;

export const beginWatch = (at: number, cpu: CpuTimes): Watch => ({
  at,
  cpu,
  answered: { at, burntMs: cpu.burntMs, answeredAt: at },
});

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

/** Whether a starved loop is a runaway. Before that it may be a long block. */
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
  // A block counts as at most `stallMs` of work, because one long block is not a loop.
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

/** A loop that keeps itself busy never waits. A service that gets work from outside waits now and then. */
const NEVER_WAITS = 0.99;
/** Turns per second of CPU. A service at full load works longer than half a millisecond in every turn. */
const SPINNING_TURNS = 2_000;
/** Events per turn. A service at full load finds many events waiting. A loop has only one. */
const SPINNING_EVENTS = 2;

/**
 * Distinguishes a loop that keeps itself busy (`hot`) from a service with too much work (`saturated`). Both are always busy.
 * But the loop makes thousands of short turns with one event each. Measured in bench/false-alarms.md.
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
 * Every rest removes four times its length from the busy time. On a busy core, a loop that gets no CPU also looks as if it rests.
 * So one short rest does not clear ten busy seconds. But the busy time of a thread that rests for a quarter of the time does not
 * grow.
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
