import type { CpuTimes } from './main-cpu.ts';

/**
 * Is the main thread running away? Decided from what a worker can see of it: how much CPU it burns, and whether it
 * answers. Pure: times come in as numbers (milliseconds of one monotonic clock), nothing is kept but the value.
 *
 *   calm ──burns CPU──► asked ──answers──► calm, or hot if its event loop had no rest
 *                         └─ no answer, and all the while it burns CPU ──► starved
 *
 * Time in which the watcher itself did not run (SIGSTOP, a suspended machine, a crowded core) counts for nothing:
 * then the other side had no chance to answer either. Neither does a thread that does not answer and burns nothing
 * (a debugger's pause, `execFileSync`): it is blocked, not running away.
 */
export interface Watch {
  readonly at: number;
  /** What the main thread had had of the CPU when last looked at. */
  readonly cpu: CpuTimes;
  /** The question that the main thread has not answered yet. */
  readonly asked?: { readonly at: number; readonly burntMs: number } | undefined;
  /** When it last answered. */
  readonly answeredAt?: number | undefined;
  /** Since when its event loop has had no rest; what rest it had has been taken off, see `cooled`. */
  readonly hotSince?: number | undefined;
}

export interface Thresholds {
  readonly stallMs: number;
  readonly hotMs: number;
  readonly hotUtilization: number;
}

export type Sight =
  /** A look at the main thread; `lateMs` after it was due. */
  | { readonly type: 'look'; readonly at: number; readonly cpu: CpuTimes; readonly lateMs: number }
  /** It answered; `utilization`: the share of the time since its last answer in which its event loop was busy, 0–1. */
  | { readonly type: 'answer'; readonly at: number; readonly utilization: number };

export interface Finding {
  readonly verdict: 'starved' | 'hot';
  /** For how long it has been seen. */
  readonly forMs: number;
  /** Cores that the main thread burnt meanwhile, 0–1; for `hot`: at the last look. */
  readonly cpu: number;
}

/** From this share of a core on, wanted if not had, the main thread is asked whether it still turns. An idle one is left alone. */
const CURIOUS = 0.1;
/** A loop without rest that wants less of a core waits for something else: a disk, a lock, a debugger. */
const BURNING = 0.3;
/** A thread starves its loop when it burnt this share of `stallMs` without an answer: a crowded core may give it less than all. */
const BURNT = 0.5;
/** Up to here a late look is ordinary. */
const PUNCTUAL_MS = 300;

export const beginWatch = (at: number, cpu: CpuTimes): Watch => ({ at, cpu });

export function watch(
  before: Watch,
  sight: Sight,
  thresholds: Thresholds,
): { watch: Watch; ask: boolean; finding?: Finding } {
  if (sight.type === 'answer') return { watch: answered(before, sight, thresholds), ask: false };
  const pausedMs = sight.lateMs > PUNCTUAL_MS ? sight.lateMs : 0;
  const now = withoutPause(before, pausedMs);
  const elapsed = Math.max(1, sight.at - before.at - pausedMs);
  const wanted = (sight.cpu.wantedMs - before.cpu.wantedMs) / elapsed;
  const looked = { ...now, at: sight.at, cpu: sight.cpu };

  if (now.asked !== undefined) {
    const forMs = sight.at - now.asked.at;
    const burntMs = sight.cpu.burntMs - now.asked.burntMs;
    const starved = forMs >= thresholds.stallMs && burntMs >= thresholds.stallMs * BURNT;
    return {
      watch: looked,
      ask: false,
      ...(starved && { finding: { verdict: 'starved', forMs, cpu: burntMs / forMs } }),
    };
  }
  const hotSince = wanted < BURNING ? cooled(now, sight.at, elapsed, thresholds) : now.hotSince;
  if (wanted < CURIOUS) return { watch: { ...looked, hotSince }, ask: false };
  const ask = { ...looked, hotSince, asked: { at: sight.at, burntMs: sight.cpu.burntMs } };
  if (hotSince === undefined) return { watch: ask, ask: true };
  const forMs = sight.at - hotSince;
  const cpu = Math.min(1, (sight.cpu.burntMs - before.cpu.burntMs) / elapsed);
  return {
    watch: ask,
    ask: true,
    ...(forMs >= thresholds.hotMs && { finding: { verdict: 'hot', forMs, cpu } }),
  };
}

function answered(
  before: Watch,
  { at, utilization }: Sight & { type: 'answer' },
  thresholds: Thresholds,
): Watch {
  const since = before.answeredAt ?? before.at;
  const hotSince =
    utilization >= thresholds.hotUtilization
      ? (before.hotSince ?? before.asked?.at ?? before.at)
      : cooled(before, at, Math.max(0, at - since), thresholds);
  return { ...before, answeredAt: at, asked: undefined, hotSince };
}

/**
 * A stretch of rest takes four times its length off. One alone does not undo ten seconds of heat: on a crowded core, a
 * loop that is not let run looks as if it rested. A quarter of the time at rest does.
 */
function cooled({ hotSince }: Watch, at: number, restMs: number, { hotMs }: Thresholds): number | undefined {
  if (hotSince === undefined) return undefined;
  const since = Math.max(hotSince, at - hotMs) + restMs * 4;
  return since < at ? since : undefined;
}

/** Moves what has been measured up, as if the pause had not been. */
const withoutPause = (before: Watch, pausedMs: number): Watch => ({
  ...before,
  asked: before.asked && { ...before.asked, at: before.asked.at + pausedMs },
  hotSince: before.hotSince === undefined ? undefined : before.hotSince + pausedMs,
});
