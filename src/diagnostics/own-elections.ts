import { unmarkedElections } from '../election-registry.ts';
import { loopGuards } from '../index.ts';
import type { ElectionSource } from './elections.ts';

/** The elections of this process. This code has its own file, so that the code of the worker does not contain the library. */
export const ownElections: ElectionSource = { elections: unmarkedElections, guards: loopGuards };
