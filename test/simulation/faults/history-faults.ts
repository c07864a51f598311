/** Faults that delete etcd's history: all its members lose their data at once. */
import type { FaultKind } from './fault.ts';

const marks = { touchesEtcd: true, isOutage: true };

export const historyFaults: Readonly<Record<string, FaultKind>> = {
  wipe: {
    place: 'etcd',
    weight: 1,
    *run({ world, note }) {
      note('wipe etcd', marks);
      yield* world.cutHistory(() => world.cluster.wipe());
    },
  },
  restore: {
    place: 'etcd',
    weight: 2,
    *run({ world, fault, victim, note }) {
      const snapshot = world.cluster.snapshot();
      // What happens until then is lost: always writes, and sometimes a term.
      if (fault.draws[1] < 0.5) victim.ask((program) => program.stepDown());
      yield fault.forMs;
      note('restore etcd from a snapshot', marks);
      yield* world.cutHistory(() => world.cluster.restore(snapshot));
    },
  },
};
