/** Faults of a process, of its machine, and of the caller's own code. */
import type { Story } from '../world/story.ts';
import { choose, type FaultKind, type Scene } from './fault.ts';

const HOUR_MS = 3_600_000;

export const processFaults: Readonly<Record<string, FaultKind>> = {
  pause: {
    place: 'process',
    weight: 4,
    *run({ victim, fault, note, world }) {
      note(`pause ${victim.name}`);
      victim.pause();
      yield fault.forMs;
      victim.resume();
      world.look(victim);
    },
  },
  suspend: {
    place: 'process',
    weight: 3,
    *run({ victim, fault, note, world }) {
      note(`suspend the machine of ${victim.name}`);
      victim.suspend();
      yield fault.forMs;
      victim.wake();
      world.look(victim);
    },
  },
  kill: {
    place: 'process',
    weight: 3,
    *run({ victim, fault, note, world }) {
      note(`kill ${victim.name}`);
      world.kill(victim);
      yield fault.forMs;
      world.startAgain(victim.name);
    },
  },
  block: {
    place: 'process',
    weight: 4,
    *run({ victim, fault, note, world }) {
      note(`block the event loop of ${victim.name}`);
      victim.ask((program) => program.block(fault.forMs));
      yield fault.forMs * 1.1;
      world.look(victim);
    },
  },
  // The event loop runs only sometimes, as during garbage collection or heavy work.
  stutter: {
    place: 'process',
    weight: 2,
    *run({ victim, fault, note, world }) {
      note(`the event loop of ${victim.name} stutters`);
      const eachMs = 50 + fault.draws[1] * 400;
      for (let leftMs = fault.forMs; leftMs > 0 && victim.isAlive; leftMs -= eachMs * 1.2) {
        victim.ask((program) => program.block(eachMs));
        yield eachMs * 1.2;
      }
      world.look(victim);
    },
  },
  'wall-clock': {
    place: 'process',
    weight: 2,
    *run({ victim, fault, note }) {
      const ms = choose([-HOUR_MS, -30_000, -100, 100, 30_000, HOUR_MS], fault.draws[1]);
      note(`set the wall clock of ${victim.name} by ${ms} ms`);
      victim.clock.step(ms);
      yield 1;
    },
  },
  // A virtual machine that is moved or restored stands still, and its wall clock is set meanwhile.
  'stop-and-set-clock': {
    place: 'process',
    weight: 3,
    *run({ victim, fault, note, world }) {
      const ms = choose([-HOUR_MS, -30_000, -2 * fault.forMs, fault.forMs, 30_000, HOUR_MS], fault.draws[1]);
      const isSuspended = fault.draws[2] < 0.5;
      const how = isSuspended ? 'suspend the machine of' : 'pause';
      note(`${how} ${victim.name}, and set its wall clock by ${ms.toFixed(0)} ms`);
      if (isSuspended) victim.suspend();
      else victim.pause();
      yield fault.forMs;
      victim.clock.step(ms);
      if (isSuspended) victim.wake();
      else victim.resume();
      world.look(victim);
    },
  },
  // All machines lose power, long enough for all leases to end. Then the network is slow, and fails for one of them.
  'power-cut': {
    place: 'processes',
    weight: 1,
    *run({ fault, note, world }) {
      note('kill all processes', { isOutage: true });
      const victims = world.processes.filter(({ isAlive }) => isAlive);
      for (const one of victims) world.kill(one);
      yield fault.forMs + 1.5 * world.ttlMs;
      const links = victims.flatMap(({ name }) => world.network.linksOf(name));
      for (const link of links) link.extraDownMs = (0.05 + 0.3 * fault.draws[1]) * world.ttlMs;
      for (const { name } of victims) world.startAgain(name);
      yield* world.untilLed(2 * world.ttlMs);
      for (const link of links) link.extraDownMs = 0;
      if (world.leader === undefined) return;
      const ofLeader = world.network.linksOf(world.leader.name);
      for (const link of ofLeader) link.block('up', 'down');
      yield 1.5 * world.ttlMs;
      for (const link of ofLeader) link.unblock('up', 'down');
    },
  },
  'work-throws': {
    place: 'process',
    weight: 1,
    *run({ victim, note }) {
      note(`the work of ${victim.name} throws`);
      victim.ask((program) => program.throwInWork());
      yield 1_000;
    },
  },
  'run-away': {
    place: 'process',
    weight: 1,
    *run({ victim, fault, note }) {
      note(`all work of ${victim.name} throws at once`);
      victim.ask((program) => program.runAway(4 * fault.forMs));
      yield 4.5 * fault.forMs;
    },
  },
  'step-down': {
    place: 'process',
    weight: 2,
    *run({ victim, note }) {
      note(`${victim.name} steps down`);
      victim.ask((program) => program.stepDown());
      yield 500;
    },
  },
  resign: {
    place: 'process',
    weight: 2,
    *run({ victim, fault, note, world }) {
      note(`${victim.name} resigns, and stands again later`);
      victim.ask((program) => program.resign());
      yield fault.forMs;
      world.standAgain(victim.name);
      yield 100;
    },
  },
  // etcd gets its requests late or never, and then it stays away for long, or for good.
  'leave-in-trouble': {
    place: 'process',
    weight: 2,
    *run(scene) {
      const { victim, note, world } = scene;
      note(`${victim.name} resigns while it is cut off`);
      const join = cutOff(scene);
      victim.ask((program) => program.resign());
      yield (0.3 + 0.4 * scene.fault.draws[2]) * world.ttlMs;
      join();
      yield* stayAway(scene);
    },
  },
  'enter-in-trouble': {
    place: 'process',
    weight: 2,
    *run(scene) {
      const { victim, note, world } = scene;
      note(`${victim.name} resigns, and enters and leaves again while it is cut off`);
      victim.ask((program) => program.resign());
      yield world.ttlMs;
      const join = cutOff(scene);
      victim.ask((program) => program.campaign());
      yield (0.05 + 0.2 * scene.fault.draws[2]) * world.ttlMs;
      victim.ask((program) => program.resign());
      yield 0.2 * world.ttlMs;
      join();
      yield* stayAway(scene);
    },
  },
};

/** Cuts all ways of the victim, or one. @returns a function that ends that; then connections may be lost. */
function cutOff({ world, victim, fault }: Scene): () => void {
  const [, how, which] = fault.draws;
  const ways = world.network.linksOf(victim.name);
  const links = which < 0.7 ? ways : [choose(ways, (which - 0.7) / 0.3)];
  for (const link of links) link.block('up', 'down');
  return () => {
    for (const link of links) {
      link.unblock('up', 'down');
      if (how > 0.5) link.reset();
    }
  };
}

function* stayAway({ world, victim, fault }: Scene): Story {
  yield 3 * fault.forMs;
  const isForGood = Math.floor(fault.draws[1] * 10) % 2 === 0;
  if (!isForGood || !world.staysAway(victim.name)) world.standAgain(victim.name);
  yield 100;
}
