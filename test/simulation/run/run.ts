/** One run: a world from its seed until all processes have left it, and the verdict. */
import { verdict, whatBroke } from '../check/verdict.ts';
import type { Violation } from '../check/violation.ts';
import type { Defects } from '../etcd/cluster.ts';
import type { Fault } from '../faults/fault.ts';
import { historyFaults } from '../faults/history-faults.ts';
import { drawFaults } from '../faults/kinds.ts';
import { drawQueueFaults } from '../faults/queue-faults.ts';
import type { Code } from '../process/code.ts';
import { counting, isCounted, watched } from '../process/microtasks.ts';
import { pick, stream, wholeBetween } from '../process/random.ts';
import { standing } from '../world/standing.ts';
import { relay } from '../world/relay.ts';
import { tell, until, type Story } from '../world/story.ts';
import { World } from '../world/world.ts';

/** The setup that a seed determines. */
export interface Setup {
  readonly seed: number;
  readonly ttlSeconds: number;
  readonly candidates: number;
  /** The time until which faults happen, in milliseconds. */
  readonly forMs: number;
  readonly faults: readonly Fault[];
  readonly defects: Partial<Defects>;
  /** See {@link CLOCKS}. */
  readonly clockSkew?: number;
  readonly marginMs?: number;
  /** The number of additional elections of each process. Default: none. */
  readonly crowd?: number;
  /** How many leaders step down one after another after all faults. Default: none. */
  readonly relay?: number;
}

export interface Outcome {
  readonly setup: Setup;
  readonly world: World;
  readonly violations: readonly Violation[];
  readonly simulatedMs: number;
  readonly hash: string;
}

const RUN_MS = 300_000;
/** The known defects of etcd's releases. None of them excuses a second leader. */
const DEFECTS: readonly Partial<Defects>[] = [
  {},
  {},
  { deposedLeaderRenews: true },
  { deposedLeaderRenews: true },
  { snapshotRepeatsEvents: true, snapshotForgetsFutureStart: true, progressOutOfStep: true },
  { skipsCompactedEvents: true, compactionDropsDelete: true },
];

const TTLS = [2, 2, 3, 5, 10] as const;

/** The default margin covers clocks of different rates. With equal clocks the least margin must suffice. */
const CLOCKS = [{}, {}, { clockSkew: 0.001, marginMs: 50 }] as const;

/** @param forMs the time with faults. A longer run is faster for its length, because its processes are warm. */
export function setupOf(seed: number, forMs: number = RUN_MS): Setup {
  const random = stream(seed, 'setup');
  const ttlSeconds = pick(random, TTLS);
  const candidates = wholeBetween(random, 3, 6);
  return {
    seed,
    ttlSeconds,
    candidates,
    forMs,
    faults: drawFaults(seed, forMs, ttlSeconds * 1000),
    defects: pick(random, DEFECTS),
    ...pick(random, CLOCKS),
  };
}

const CROWD = 20;
const CROWD_MS = 60_000;

/** Three processes that campaign in many elections and enter and leave them in one turn. etcd keeps its history. */
export function crowdedSetupOf(seed: number): Setup {
  const setup = setupOf(seed, CROWD_MS);
  const faults = setup.faults.filter(({ kind }) => !(kind in historyFaults));
  return { ...setup, faults, candidates: 3, crowd: CROWD };
}

/** Queue lengths at which most candidates are far back. */
const LONG_QUEUE = [20, 30, 40] as const;
const QUEUE_MS = 60_000;
const USUAL_SHARE = 3;
/** More than the candidates near the front at the start. */
const RELAY = 14;

/** A long queue: fewer of the usual faults, and many candidates that come and go. */
export function queueSetupOf(seed: number): Setup {
  const setup = setupOf(seed, QUEUE_MS);
  const ttlSeconds = 2;
  const usual = setup.faults.filter((_, index) => index % USUAL_SHARE === 0);
  const faults = [...usual, ...drawQueueFaults(seed, QUEUE_MS, ttlSeconds * 1000)];
  const candidates = LONG_QUEUE[seed % LONG_QUEUE.length]!;
  return { ...setup, ttlSeconds, candidates, relay: RELAY, faults: faults.sort((a, b) => a.atMs - b.atMs) };
}

/** After the last fault: the time for the recovery of all processes, in which a leader must then keep its term. */
const CALM_TTLS = 6;
const RECOVERED_WITHIN_MS = 4_000;
const LAST_FAULT_WITHIN_MS = 120_000;
const CLOSED_WITHIN_MS = 30_000;

export function run(setup: Setup, code: Code): Outcome {
  const world = new World({ ...setup, code, crowdUntilMs: setup.forMs });
  const spins = (): Outcome => {
    code.abandon();
    world.vitals.busy.push(`${world.running?.name} spins`);
    return outcomeOf(setup, world, whatBroke(world));
  };
  const judged = (): Outcome => watched(() => runWorld(setup, world), spins);
  const count = (): void => {
    if (world.running !== undefined) world.running.microtasks++;
  };
  return isCounted(setup.seed) ? counting(count, judged) : judged();
}

function runWorld(setup: Setup, world: World): Outcome {
  let judged: readonly Violation[] | undefined;
  const isOver = (): boolean => judged !== undefined || world.isBroken;
  world.time.runUntil(setup.forMs, isOver);
  tell(
    world.time,
    lastPart(world, (violations) => {
      judged = violations;
    }),
  );
  while (!isOver()) world.time.runUntil(world.time.now() + 1_000, isOver);
  return outcomeOf(setup, world, judged ?? whatBroke(world));
}

const outcomeOf = (setup: Setup, world: World, violations: readonly Violation[]): Outcome => ({
  setup,
  world,
  violations,
  simulatedMs: world.time.now(),
  hash: world.trace.hash,
});

/** All faults end, all processes recover, and all leave. */
function* lastPart(world: World, judge: (violations: readonly Violation[]) => void): Story {
  yield* until(() => !world.faultsUnderWay, LAST_FAULT_WITHIN_MS);
  for (const process of world.processes) process.ask((program) => program.crowd('enter'));
  yield CALM_TTLS * world.ttlMs + RECOVERED_WITHIN_MS;
  yield* relay(world);
  for (const process of world.processes) {
    world.look(process);
    process.ask((program) => program.crowd('tell'));
  }
  yield* world.readQueueAtEnd();
  for (const process of world.processes) process.ask((program) => program.tell());
  const endMs = world.time.now();
  for (const process of world.processes) process.ask((program) => program.close());
  yield CLOSED_WITHIN_MS;
  judge(verdict(world, yield* standing(world), endMs));
}
