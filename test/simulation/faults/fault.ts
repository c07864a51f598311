/** What a fault of the simulation is: drawn from a seed, and told as a story. */
import type { FaultRecord } from '../../faults/lab/evidence.ts';
import type { Story } from '../world/story.ts';
import type { World } from '../world/world.ts';
import type { SimulatedProcess } from '../process/process.ts';

/** One fault of a run, as the seed has drawn it. A list of them repeats the run. */
export interface Fault {
  readonly kind: string;
  readonly atMs: number;
  /** How long it lasts, in milliseconds. */
  readonly forMs: number;
  /** From 0 to 1: what else there is to choose. */
  readonly draws: readonly [victim: number, how: number, which: number];
}

/** Where a fault happens: two at once may not be in the same place. */
export type Place = 'process' | 'network' | 'etcd';

export interface FaultKind {
  readonly place: Place;
  /** How often it is drawn, relative to others. */
  readonly weight: number;
  /** Does the harm and lifts it. Nothing may be left of it at the end of the story. */
  run(scene: Scene): Story;
}

export interface Scene {
  readonly world: World;
  readonly fault: Fault;
  /** The process that it hits: the leader more often than not. */
  readonly victim: SimulatedProcess;
  /** Enters the fault in the record. */
  readonly note: (what: string, marks?: Marks) => void;
}

export type Marks = Partial<Pick<FaultRecord, 'touchesEtcd' | 'isOutage' | 'evicts'>>;

export const choose = <T>(from: readonly T[], draw: number): T =>
  from[Math.min(from.length - 1, Math.floor(draw * from.length))]!;
