/** Events in a long queue: candidates come and go, one or many at a time. Drawn only if the queue is long. */
import { between, pick, stream } from '../process/random.ts';
import { choose, type Fault, type FaultKind } from './fault.ts';

export const queueFaults: Readonly<Record<string, FaultKind>> = {
  rack: {
    place: 'etcd',
    weight: 0,
    *run({ fault, note, world }) {
      const alive = world.processes.filter((process) => process.isRunning);
      const victims = alive.filter((_, index) => (index * 0.618 + fault.draws[1]) % 1 < fault.draws[2]);
      note(`kill ${victims.length} processes at once`);
      for (const victim of victims) world.kill(victim);
      yield fault.forMs;
      for (const victim of victims) world.startAgain(victim.name);
    },
  },
  'evict-any': {
    place: 'etcd',
    weight: 0,
    *run({ fault, note, world }) {
      const keys = (yield* world.operator.read(world.keyPrefix)) ?? [];
      if (keys.length === 0) return;
      const key = choose(keys, fault.draws[1]).key.toString();
      const process = world.processes.find(({ name }) => world.heldBy(name)?.key === key);
      note(`delete ${key}`, process === undefined ? {} : { evicts: process.name });
      yield* world.operator.delete(key);
    },
  },
  // Like Go's candidates and etcdctl: it stays for a while, and changes its value.
  foreign: {
    place: 'etcd',
    weight: 0,
    *run({ fault, note, world }) {
      const key = `${world.keyPrefix}foreign`;
      note('a foreign candidate stands', { isOutage: true });
      for (let puts = 0; puts < 3; puts++) {
        yield* world.operator.put(key, `value ${puts}`);
        yield fault.forMs / 3;
      }
      yield* world.operator.delete(key);
    },
  },
};

const KINDS = [
  'step-down',
  'step-down',
  'step-down',
  'step-down',
  'resign',
  'resign',
  'resign',
  'evict-any',
  'evict-any',
  'rack',
  'foreign',
] as const;

/** In TTLs: short pauses move many candidates to the front; long ones show all late effects. */
const PAUSES = [0.05, 0.1, 0.1, 0.2, 0.5, 2] as const;

export function drawQueueFaults(seed: number, untilMs: number, ttlMs: number): readonly Fault[] {
  const random = stream(seed, 'queue');
  const faults: Fault[] = [];
  for (let atMs = 2 * ttlMs; atMs < untilMs - 2 * ttlMs; atMs += pick(random, PAUSES) * ttlMs)
    faults.push({
      kind: pick(random, KINDS),
      atMs,
      forMs: between(random, 0.1, 1.5) * ttlMs,
      draws: [random(), random(), random()],
    });
  return faults;
}
