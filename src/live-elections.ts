/**
 * The elections of this process that have a campaign. A file of its own: a bundler that needs only this list leaves the
 * rest of the library out.
 */
import type { Election } from './election.ts';

/** Elections add and remove themselves. */
export const standing: Set<Election> = new Set();

/** The elections of this process in which a campaign runs at the moment. */
export const liveElections = (): readonly Election[] => [...standing];
