import type { CpuTimes } from './main-cpu.ts';

/**
 * Decides whether the main thread is running away, from what a worker can see: its CPU time, whether it answers, and what its
 * event loop did meanwhile. Pure: times come in as numbers (milliseconds of one monotonic clock), and the value is the only
 * state.
 *
 *   calm ──burns CPU──► asked ──answers──► calm, `saturated` or `hot`: see `isSpinning`
 *                         └─ no answer, and it burns CPU all the while ──► starved
 *
 * Time in which the watcher itself did not run (SIGSTOP, a suspended machine, a crowded core) does not count: the main
 * thread had no chance to answer either. A thread that does not answer and burns nothing (a debugger's pause,
 * `execFileSync`) is blocked from outside, so it does not count either.
 */
export interface Watch {
  readonly at: number;
  /** CPU time of the main thread at the last look. */
  readonly cpu: CpuTimes;
  /** The question that the main thread has not answered yet. */
  readonly asked?: Question | undefined;
  /** The last question that it answered, and when the answer came. */
  readonly answered: Question & { readonly answeredAt: number };
  /** Since when its event loop has had no rest; rest in between moves this up, see `cooled`. */
  readonly busySince?: number | undefined;
  /** The same, and since when it spins. */
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
  /** How often it went round; undefined where Node does not count it. */
  readonly turns: number | undefined;
  /** How many events from outside (sockets, timers, threads) it handled. */
  readonly events: number | undefined;
}

export type Sight =
  /** A look at the main thread; `lateMs` after it was due. */
  | { readonly type: 'look'; readonly at: number; readonly cpu: CpuTimes; readonly lateMs: number }
  /** The main thread answered. */
  | ({ readonly type: 'answer'; readonly at: number } & Turning);

export interface Finding {
  readonly verdict: 'starved' | 'hot' | 'saturated';
  /** For how long it has been seen. */
  readonly forMs: number;
  /** Cores that the main thread burnt meanwhile, 0–1; for `hot` and `saturated`: at the last look. */
  readonly cpu: number;
}

/** From this share of a core on, wanted if not had, the main thread is asked whether it still turns. An idle one is left alone. */
const CURIOUS = 0.1;
/** A loop without rest that wants less of a core waits for something else: a disk, a lock, a debugger. */
const BURNING = 0.3;
/** A thread starves its loop if it burnt this share of `stallMs` without an answer: a crowded core may give it less than all. */
const BURNT = 0.5;
/** And this share of `runawayMs`: a crowded core makes ten seconds of a sort that takes three. */
const BURNT_BY_A_RUNAWAY = 0.8;
/** Up to here a late look is ordinary. */
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
  if (wanted < CURIOUS) return { watch: rested, ask: false };
  const asked = { ...rested, asked: { at: sight.at, burntMs: sight.cpu.burntMs } };
  const finding = restless(
    rested,
    Math.min(1, (sight.cpu.burntMs - before.cpu.burntMs) / elapsed),
    thresholds,
  );
  return { watch: asked, ask: true, ...(finding && { finding }) };
}

/** Whether a starved loop is a runaway by now; until then it may be a long block. */
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
  // A block counts as `stallMs` of work at most: one long block is no loop, and it is over.
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

/** A loop that feeds itself never waits: any service that others feed does, now and then. */
const NEVER_WAITS = 0.99;
/** Turns in a second of CPU. A service at full load works longer than half a millisecond in each. */
const SPINNING_TURNS = 2_000;
/** Events in a turn. A service at full load finds many waiting; a loop has one under way. */
const SPINNING_EVENTS = 2;

/**
 * Tells a loop that feeds itself (`hot`) from a service that has more to do than it can (`saturated`): both are busy all
 * of the time. The loop makes thousands of short turns with one event in each. Measured in bench/false-alarms.md.
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
 * A stretch of rest takes four times its length off. One alone does not undo ten seconds without rest: on a crowded
 * core, a loop that gets no CPU looks as if it rested. A quarter of the time at rest does.
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

/** Moves what has been measured up, as if the pause had not been. */
const withoutPause = (before: Watch, pausedMs: number): Watch => ({
  ...before,
  asked: before.asked && { ...before.asked, at: before.asked.at + pausedMs },
  busySince: before.busySince === undefined ? undefined : before.busySince + pausedMs,
  spinsSince: before.spinsSince === undefined ? undefined : before.spinsSince + pausedMs,
});
