/**
 * Without faults, one leader after another steps down. Each follower must lead in its turn, however far back it
 * was.
 */
import { until, type Story } from './story.ts';
import type { World } from './world.ts';

/** A commit and a watch message, beside the work that stops slowly, in milliseconds. */
const WITHIN_MS = 150;
/** Longer than candidates far back wait before they read the leader. */
const SEEN_WITHIN_MS = 12_000;

export function* relay(world: World): Story {
  const { relay: times = 0 } = world.options;
  if (times === 0) return;
  for (let turn = 0; turn < times; turn++) {
    const { leader } = world;
    if (leader === undefined) return;
    const drainMs = world.slowToStop.has(leader.name) ? world.ttlMs : 0;
    const stopMs = drainMs > 0 ? drainMs : SLOWEST_MS;
    leader.ask((program) => program.stepDown());
    const isLed = yield* until(
      () => world.leader !== undefined && world.leader !== leader,
      stopMs + WITHIN_MS,
    );
    if (!isLed)
      world.stuck.push(`nobody led ${stopMs + WITHIN_MS} ms after ${leader.name} had stepped down in peace`);
    if (!isLed) return;
  }
  yield SEEN_WITHIN_MS;
}

/** The duration of work that still stops in time. */
const SLOWEST_MS = 1_100;
