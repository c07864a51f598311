import { livenessMutants } from './liveness.ts';
import type { Mutant } from './mutant.ts';
import { safetyMutants } from './safety.ts';
import { writeMutants } from './writes.ts';

export const mutants: readonly Mutant[] = [...safetyMutants, ...writeMutants, ...livenessMutants];
