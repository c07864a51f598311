/** Every fault that the lab can cause. Each is drawn from a seed, happens, is removed, and is recorded. */
import type { EtcdErrorKind } from './fault-kind.ts';
import { historyFaults } from './history-faults.ts';
import { permissionFaults } from './permission-faults.ts';
import type { Seeded } from './seeded.ts';
import { candidateFaults, foreignCluster } from './candidate-faults.ts';
import { etcdFaults } from './etcd-faults.ts';

export const faultKinds: readonly EtcdErrorKind[] = [
  ...candidateFaults,
  ...etcdFaults,
  ...historyFaults,
  ...permissionFaults,
  foreignCluster,
];

/** Draws a fault by weight. */
export function drawFault(random: Seeded, from: readonly EtcdErrorKind[]): EtcdErrorKind {
  const total = from.reduce((sum, { weight }) => sum + weight, 0);
  let at = random.next() * total;
  return from.find(({ weight }) => (at -= weight) < 0) ?? from[0]!;
}
