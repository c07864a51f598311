/** Faults of a process, of its machine, and of the caller's own code. */
import { choose, type FaultKind } from './fault.ts';

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
      world.current(victim.name).ask((program) => program.campaign());
      yield 100;
    },
  },
};
