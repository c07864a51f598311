import type { Edit } from '../process/bundle.ts';

/** A mistake built into the library on purpose: a test of the simulation and of its checker. */
export interface Mutant {
  readonly name: string;
  readonly edits: readonly Edit[];
}
