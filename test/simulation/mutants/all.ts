import type { Mutant } from '../../support/mutant.ts';
import { livenessMutants } from './liveness.ts';
import { safetyMutants } from './safety.ts';
import { writeMutants } from './writes.ts';

export const mutants: readonly Mutant[] = [...safetyMutants, ...writeMutants, ...livenessMutants];
