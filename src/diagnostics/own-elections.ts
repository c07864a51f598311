import { liveElections, loopGuards } from '../index.ts';
import type { ElectionSource } from './elections.ts';

/** What stands in this process. Kept apart: the worker's code, which has no elections, must not carry the library along. */
export const ownElections: ElectionSource = { elections: liveElections, guards: loopGuards };
