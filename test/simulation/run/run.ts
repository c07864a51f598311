/** One run: a world from its seed until everybody has left it, and the verdict on it. */
import type vm from 'node:vm';
import { verdict, type Violation } from '../check/verdict.ts';
import type { Defects } from '../etcd/cluster.ts';
import type { Fault } from '../faults/fault.ts';
import { drawFaults } from '../faults/kinds.ts';
import { pick, stream, wholeBetween } from '../process/random.ts';
import { standing } from '../world/standing.ts';
import { tell, until, type Story } from '../world/story.ts';
import { World } from '../world/world.ts';

/** What a seed stands for. */
export interface Setup {
  readonly seed: number;
  readonly ttlSeconds: number;
  readonly candidates: number;
  /** Until when faults are made, in milliseconds. */
  readonly forMs: number;
  readonly faults: readonly Fault[];
  readonly defects: Partial<Defects>;
}

export interface Outcome {
  readonly setup: Setup;
  readonly world: World;
  readonly violations: readonly Violation[];
  readonly simulatedMs: number;
  readonly hash: string;
}

const RUN_MS = 300_000;
const TTLS = [2, 2, 3, 5, 10] as const;

export function setupOf(seed: number): Setup {
  const random = stream(seed, 'setup');
  const ttlSeconds = pick(random, TTLS);
  const candidates = wholeBetween(random, 3, 6);
  const forMs = RUN_MS;
  return {
    seed,
    ttlSeconds,
    candidates,
    forMs,
    faults: drawFaults(seed, forMs, ttlSeconds * 1000),
    defects: {},
  };
}

/** After the last fault: so long everybody may take to recover, and then a leader leads on. */
const CALM_TTLS = 6;
const LAST_FAULT_WITHIN_MS = 120_000;
const CLOSED_WITHIN_MS = 30_000;

export function run(setup: Setup, script: vm.Script): Outcome {
  const world = new World({ ...setup, script });
  const end = { atMs: 0, isOver: false };
  let violations: readonly Violation[] = [];
  world.time.runUntil(setup.forMs, () => world.isBroken);
  tell(world.time, lastPart(), () => {
    end.isOver = true;
  });
  while (!end.isOver && !world.isBroken)
    world.time.runUntil(world.time.now() + 1_000, () => end.isOver || world.isBroken);
  if (world.isBroken)
    violations = verdict(
      world,
      { logs: { etcd: [], http: [] }, timesWritten: 0, elseBranches: [] },
      0,
    ).filter(({ promise }) => promise === 'G5' || promise === 'crash');
  return { setup, world, violations, simulatedMs: world.time.now(), hash: world.trace.hash };

  function* lastPart(): Story {
    yield* until(() => !world.faultsUnderWay, LAST_FAULT_WITHIN_MS);
    yield CALM_TTLS * world.ttlMs + 4_000;
    for (const process of world.processes) world.look(process);
    end.atMs = world.time.now();
    for (const process of world.processes) process.ask((program) => program.close());
    yield CLOSED_WITHIN_MS;
    const stands = yield* standing(world);
    violations = verdict(world, stands, end.atMs);
  }
}
