/** Faults of users and roles, for candidates with a login. */
import { hangUp } from './act.ts';
import { ROLE } from './auth.ts';
import { drawMs, during, type EtcdErrorKind, type Scene } from './fault-kind.ts';

/** Asks any member, because one may be down. */
const admin = ({ lab }: Scene, ...args: readonly string[]): Promise<string> =>
  lab.operator.etcdctl(lab.cluster.endpoints.join(','), ...args);

export const permissionFaults: readonly EtcdErrorKind[] = [
  {
    kind: 'permission-gap',
    place: 'etcd',
    weight: 10,
    needsAuth: true,
    async run(scene) {
      const { lab, random, victim } = scene;
      const isForAll = random.next() < 0.3;
      const names = (isForAll ? lab.candidates : [victim]).map(({ name }) => name);
      const marks = { kind: 'permission-gap', what: `${names.join(', ')} may not`, isOutage: isForAll };
      await during(lab, marks, async () => {
        for (const name of names) await admin(scene, 'user', 'revoke-role', name, ROLE);
        await hangUp(drawMs(scene, 0.2, 3));
        for (const name of names) await admin(scene, 'user', 'grant-role', name, ROLE);
      });
    },
  },
  {
    kind: 'auth-revision-moves',
    place: 'etcd',
    weight: 4,
    needsAuth: true,
    async run(scene) {
      const marks = { kind: 'auth-revision-moves', what: 'a user comes and goes: tokens of before are void' };
      await during(scene.lab, marks, async () => {
        await admin(scene, 'user', 'add', 'passer-by:secret');
        await hangUp(drawMs(scene, 0, 0.5));
        await admin(scene, 'user', 'delete', 'passer-by');
      });
    },
  },
];
