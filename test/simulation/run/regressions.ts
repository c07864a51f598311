/** What the simulation has found in the library, as short runs with the faults that are needed. All of them pass now. */
import type { Fault } from '../faults/fault.ts';
import { setupOf, type Setup } from './run.ts';

export interface Regression {
  readonly story: string;
  readonly setup: Setup;
}

const SHORT_MS = 20_000;

const killed = (atMs: number, forMs: number, victim: number): Fault => ({
  kind: 'kill',
  atMs,
  forMs,
  draws: [victim, 0.1, 0.1],
});

/** Three processes begin again while etcd's leader hears, and is not heard. */
const restartsUnderMuteLeader = (seed: number): Setup => ({
  ...setupOf(seed, SHORT_MS),
  ttlSeconds: 2,
  candidates: 5,
  defects: {},
  faults: [
    killed(8_000, 5_000, 0.1),
    killed(8_001, 5_200, 0.9),
    killed(8_002, 5_300, 0.8),
    { kind: 'mute-etcd-leader', atMs: 11_000, forMs: 6_000, draws: [0.1, 0.1, 0.1] },
  ],
});

const hit = (kind: string, atMs: number, forMs: number, how = 0.1): Fault => ({
  kind,
  atMs,
  forMs,
  draws: [0.1, how, 0.1],
});

const calmSetup = (seed: number, faults: readonly Fault[]): Setup => ({
  ...setupOf(seed, SHORT_MS),
  ttlSeconds: 3,
  candidates: 3,
  defects: {},
  faults,
});

/** The leader's work ignores the end of the term, and its key has no lease. */
const detachedWhileCutOff = (seed: number): Setup =>
  calmSetup(seed, [hit('cut', 8_000, 3_500), hit('take-off-lease', 8_400, 10)]);

/** The leader resigns after a snapshot was taken from which etcd is restored. Its other election keeps the lease. */
const backFromSnapshot = (seed: number): Setup =>
  calmSetup(seed, [hit('restore', 8_000, 4_000, 0.9), hit('resign', 8_500, 40_000)]);

/** The key of the killed leader has no lease. Its successor has deleted it, and leads. A restored snapshot brings the key back. */
const orphanFromSnapshot = (seed: number): Setup =>
  calmSetup(seed, [
    hit('take-off-lease', 8_000, 10),
    killed(9_000, 2_500, 0.9),
    { kind: 'restore', atMs: 12_300, forMs: 1_700, draws: [0.9, 0.9, 0.1] },
  ]);

export const regressions: readonly Regression[] = [
  ...[3, 10].map((seed) => ({
    story: `G5: renewals follow one another at once while it is unknown whether a proxy answers (seed ${seed})`,
    setup: restartsUnderMuteLeader(seed),
  })),
  ...[1, 4].map((seed) => ({
    story: `L2: a key without a lease stays until late work has ended (seed ${seed})`,
    setup: detachedWhileCutOff(seed),
  })),
  {
    story: 'L5: a restored key of a candidate that has left stays (seed 2)',
    setup: backFromSnapshot(2),
  },
  ...[1, 13].map((seed) => ({
    story: `L1: a restored key without a lease stays as long as another replica leads (seed ${seed})`,
    setup: orphanFromSnapshot(seed),
  })),
];
