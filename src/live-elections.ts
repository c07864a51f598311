/**
 * The elections of this process that have a campaign, and those whose last campaign has failed. This file imports only types
 * from `election.ts`, so that a bundler can leave out that class.
 */
import type { Election } from './election.ts';
import { unmarked } from './unmarked-election.ts';

/** Elections with a campaign. They add and remove themselves. */
const standing: Set<Election> = new Set();

/** Elections whose last campaign may have failed, by name, prefix and endpoints. */
const ended: Map<string, Election> = new Map();
/** Limits memory if a program keeps creating refused elections under new names. */
const MOST_ENDED = 200;

/**
 * Records that a campaign of an election begins, or has ended.
 *
 * @param key the same for all `Election` objects of one name, prefix and list of endpoints.
 * @param reason the `reason` of `health()`; undefined if nothing is wrong.
 */
export function noteCampaign(
  election: Election,
  key: string,
  isStanding: boolean,
  reason: string | undefined,
): void {
  ended.delete(key);
  if (isStanding) {
    standing.add(election);
    return;
  }
  standing.delete(election);
  if (reason !== undefined) ended.set(key, election);
  for (const oldest of ended.keys()) if (ended.size > MOST_ENDED) ended.delete(oldest);
}

/** The elections of this process in which a campaign runs at the moment. */
export const liveElections = (): readonly Election[] => [...standing];

/**
 * The elections of this process in which no campaign runs, and for which `health()` names a reason: the last campaign was
 * refused, or its work still runs after its end. At most the last 200.
 */
export function failedElections(): readonly Election[] {
  // This read must not count towards `RunawayLoopError`, and must not throw that error.
  for (const [key, election] of ended)
    if (unmarked(election).health().reason === undefined) ended.delete(key);
  return [...ended.values()];
}
