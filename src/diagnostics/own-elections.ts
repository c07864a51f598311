import { unmarked } from '../unmarked-election.ts';
import { failedElections, liveElections, loopGuards } from '../index.ts';
import type { ElectionSource } from './elections.ts';

/** The elections of this process. They have their own file, so that the code of the worker does not contain the library. */
export const ownElections: ElectionSource = {
  elections: () => [...liveElections(), ...failedElections()].map(unmarked),
  guards: loopGuards,
};
