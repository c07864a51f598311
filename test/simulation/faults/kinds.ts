/** All kinds of faults, and how a run draws its faults from a seed. */
import { between, pick, stream, wholeBetween, type Random } from '../process/random.ts';
import { etcdFaults } from './etcd-faults.ts';
import type { Fault, FaultKind } from './fault.ts';
import { historyFaults } from './history-faults.ts';
import { networkFaults } from './network-faults.ts';
import { processFaults } from './process-faults.ts';
import { queueFaults } from './queue-faults.ts';

export const kinds: Readonly<Record<string, FaultKind>> = {
  ...processFaults,
  ...networkFaults,
  ...etcdFaults,
  ...historyFaults,
  ...queueFaults,
};

const total = Object.values(kinds).reduce((sum, { weight }) => sum + weight, 0);

function drawKind(random: Random): string {
  let at = random() * total;
  for (const [kind, { weight }] of Object.entries(kinds)) if ((at -= weight) < 0) return kind;
  return 'pause';
}

/** Bursts of a few faults, with pauses in between. Some pauses are long enough for a full recovery. */
const MOST_AT_ONCE = 4;
const PEACE_TTLS = [0.5, 1, 3, 6, 10] as const;

/** The faults of a run from its start until `untilMs`. */
export function drawFaults(seed: number, untilMs: number, ttlMs: number): readonly Fault[] {
  const random = stream(seed, 'faults');
  const faults: Fault[] = [];
  for (let atMs = 2 * ttlMs; ;) {
    const atOnce = wholeBetween(random, 1, MOST_AT_ONCE);
    let burstEndsMs = atMs;
    for (let count = 0; count < atOnce; count++) {
      const fault: Fault = {
        kind: drawKind(random),
        atMs: atMs + random() * ttlMs,
        forMs: between(random, 0.1, 2.5) * ttlMs,
        draws: [random(), random(), random()],
      };
      burstEndsMs = Math.max(burstEndsMs, fault.atMs + fault.forMs);
      if (burstEndsMs > untilMs) return faults.sort((a, b) => a.atMs - b.atMs);
      faults.push(fault);
    }
    atMs = burstEndsMs + pick(random, PEACE_TTLS) * ttlMs;
  }
}
