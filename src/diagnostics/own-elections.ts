import { failedElections, liveElections, loopGuards } from '../index.ts';
import type { ElectionSource } from './elections.ts';

/** The elections of this process. A file of its own, so that the worker's code does not contain the library. */
export const ownElections: ElectionSource = {
  elections: () => [...liveElections(), ...failedElections()],
  guards: loopGuards,
};
