/** Describes a fault of the lab: its place, its frequency and its victim. */
import type { Candidate } from './candidate-process.ts';
import type { Lab, Marks } from './lab.ts';
import type { Seeded } from './seeded.ts';

/** Where a fault happens. Only one fault at a time may be at a place. */
export type Place = 'candidate' | 'etcd';

export interface EtcdErrorKind {
  readonly kind: string;
  readonly place: Place;
  /** How often it is drawn, relative to the others. */
  readonly weight: number;
  /** Whether it needs candidates with a login, or without one. Default: either. */
  readonly needsAuth?: boolean;
  /** Causes the fault and removes it; resolves after the removal. */
  run(scene: Scene): Promise<void>;
}

export interface Scene {
  readonly lab: Lab;
  readonly random: Seeded;
  /** The candidate that it hits, usually the leader. */
  readonly victim: Candidate;
  /** File that sets the wall clock of candidates, if libfaketime is available. */
  readonly clockFile: string | undefined;
}

/** A duration between two multiples of the TTL. */
export const drawMs = ({ lab, random }: Scene, low: number, high: number): number =>
  Math.round(lab.ttlMs * (low + random.next() * (high - low)));

/** Records the fault for as long as `harm` takes. */
export async function during(lab: Lab, marks: Marks, harm: () => Promise<void>): Promise<void> {
  const fault = lab.fault(marks);
  try {
    await harm();
  } finally {
    fault.lift();
  }
}
