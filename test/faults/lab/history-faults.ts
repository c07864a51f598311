/** Faults that delete etcd's history: all its members lose their data at once. */
import { hangUp } from './act.ts';
import { ROOT } from './auth.ts';
import { Backup, wipe } from './backup.ts';
import { drawMs, during, type EtcdErrorKind } from './fault-kind.ts';

const wiped = { kind: 'wipe', what: 'wipe etcd', touchesEtcd: true, isOutage: true };
const restored = {
  kind: 'restore',
  what: 'restore etcd from a snapshot',
  touchesEtcd: true,
  isOutage: true,
};

export const historyFaults: readonly EtcdErrorKind[] = [
  {
    kind: 'wipe',
    place: 'etcd',
    weight: 2,
    needsAuth: false, // users are part of the data
    async run({ lab }) {
      await during(lab, wiped, () => lab.cutHistory(() => wipe(lab.cluster)));
    },
  },
  {
    kind: 'restore',
    place: 'etcd',
    weight: 2,
    async run(scene) {
      const { lab } = scene;
      await using backup = await Backup.take(lab.cluster, lab.hasAuth ? ROOT : undefined);
      // What happens until then is lost: always writes, and sometimes a term.
      if (scene.random.next() < 0.5) scene.victim.tell({ do: 'step-down' });
      await hangUp(drawMs(scene, 0.2, 2));
      await during(lab, restored, () => lab.cutHistory(() => backup.restore()));
    },
  },
];
