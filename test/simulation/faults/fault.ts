/** A fault of the simulation: drawn from a seed, and run as a story. */
import type { FaultRecord } from '../../faults/lab/evidence.ts';
import type { Story } from '../world/story.ts';
import type { World } from '../world/world.ts';
import type { SimulatedProcess } from '../process/process.ts';

/** One fault of a run, as drawn from the seed. A list of them repeats the run. */
export interface Fault {
  readonly kind: string;
  readonly atMs: number;
  /** Its duration, in milliseconds. */
  readonly forMs: number;
  /** From 0 to 1: further choices. */
  readonly draws: readonly [victim: number, how: number, which: number];
}

/** Where a fault happens. Only one fault at a time may be at a place. `processes` are all of them. */
export type Place = 'process' | 'processes' | 'network' | 'etcd';

export interface FaultKind {
  readonly place: Place;
  /** How often it is drawn, relative to the others. */
  readonly weight: number;
  /** Causes the fault and removes it. Nothing of it may remain at the end of the story. */
  run(scene: Scene): Story;
}

export interface Scene {
  readonly world: World;
  readonly fault: Fault;
  /** The process that it hits, usually the leader. */
  readonly victim: SimulatedProcess;
  /** Records the fault. */
  readonly note: (what: string, marks?: Marks) => void;
}

export type Marks = Partial<Pick<FaultRecord, 'touchesEtcd' | 'isOutage' | 'evicts'>>;

export const choose = <T>(from: readonly T[], draw: number): T =>
  from[Math.min(from.length - 1, Math.floor(draw * from.length))]!;
