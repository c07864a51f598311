/** The story of the additional elections: all leave and enter again in one turn, and leaders hand over. */
import { between, stream } from '../process/random.ts';
import type { Story } from './story.ts';
import type { World } from './world.ts';

const AWAY_MS = 1_000;
/** Longer than the slowest start of a process. */
const BEGINS_MS = 2_000;

export function* crowdStory(world: World): Story {
  const random = stream(world.options.seed, 'crowd');
  yield BEGINS_MS;
  for (let round = 0; world.time.now() < world.options.crowdUntilMs!; round++) {
    yield between(random, 1, 3) * world.ttlMs;
    for (const process of world.processes) process.ask((program) => program.crowd('hand-over'));
    yield between(random, 0.5, 1) * world.ttlMs;
    for (const process of world.processes) process.ask((program) => program.crowd('leave'));
    yield AWAY_MS;
    yield* leaveOldKeys(world);
    for (const process of world.processes) process.ask((program) => program.crowd('enter'));
    yield AWAY_MS;
    yield* clearOldKeys(world);
  }
}

/** A key that a snapshot or a lost release left behind, at the place of a new key. */
const OLD_KEYS = 'election/crowd-1/';
/** At least the terms of one round: they show all live leases. */
const RECENT_TERMS = 60;
const RECENT_LEASES = 4;

function* leaveOldKeys(world: World): Story {
  const recent = world.record.seats.slice(-RECENT_TERMS);
  const leases = [...new Set(recent.map(({ leaseId }) => leaseId))].slice(-RECENT_LEASES);
  for (const leaseId of leases) yield* world.operator.put(`${OLD_KEYS}${leaseId}`);
}

/** Keys of expired leases would stay for ever. */
function* clearOldKeys(world: World): Story {
  const keys = (yield* world.operator.read(OLD_KEYS)) ?? [];
  for (const { key, lease } of keys) if (lease === '0') yield* world.operator.delete(key.toString());
}
