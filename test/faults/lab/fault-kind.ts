/** What a fault of the lab is: where it happens, how often, and whom it hits. */
import type { Candidate, Lab, Marks } from './lab.ts';
import type { Seeded } from './seeded.ts';

/** Where a fault happens: two at once may not be in the same place. */
export type Place = 'candidate' | 'etcd';

export interface EtcdErrorKind {
  readonly kind: string;
  readonly place: Place;
  /** How often it is drawn, relative to others. */
  readonly weight: number;
  /** Whether it needs candidates that log in, or ones that do not. Default: both will do. */
  readonly needsAuth?: boolean;
  /** Does the harm and lifts it; resolves when it is lifted. */
  run(scene: Scene): Promise<void>;
}

export interface Scene {
  readonly lab: Lab;
  readonly random: Seeded;
  /** Whom it hits: the leader more often than not. */
  readonly victim: Candidate;
  /** File that sets the wall clock of candidates, where libfaketime is at hand. */
  readonly clockFile: string | undefined;
}

/** A duration between two multiples of the TTL. */
export const drawMs = ({ lab, random }: Scene, low: number, high: number): number =>
  Math.round(lab.ttlMs * (low + random.next() * (high - low)));

/** Marks the fault in the record, for as long as `during` takes. */
export async function during(lab: Lab, marks: Marks, harm: () => Promise<void>): Promise<void> {
  const fault = lab.fault(marks);
  try {
    await harm();
  } finally {
    fault.lift();
  }
}
