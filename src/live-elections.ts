/** The elections of this process, for programs. This file imports only the type of the class: see election-registry.ts. */
import { registeredFailed, registeredLive, type Registered } from './election-registry.ts';
import type { Election } from './election.ts';

/** Only `Election` objects register. */
const electionOf = ({ election }: Registered): Election => election as Election;

/**
 * The elections of this process in which a campaign runs at the moment. If several copies of this package are loaded, the list
 * includes the elections of all copies. For an election of another copy, `instanceof Election` is false.
 */
export const liveElections = (): readonly Election[] => registeredLive().map(electionOf);

/**
 * The elections of this process in which no campaign runs, and for which `health()` names a reason. For example, the last
 * campaign was refused, or its work or `onFollower` still runs after its end. At most the last 200.
 * Like {@link liveElections}, it includes the elections of other copies of this package.
 */
export const failedElections = (): readonly Election[] => registeredFailed().map(electionOf);
