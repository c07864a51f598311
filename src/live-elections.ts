/**
 * The elections of this process that have a campaign, or whose last one went wrong. A file of its own: a bundler that needs
 * only these lists leaves the rest of the library out.
 */
import type { Election } from './election.ts';

/** Elections add and remove themselves. */
const standing: Set<Election> = new Set();

/** Elections without a campaign that may have failed, by their keys in etcd. A later one replaces an earlier one. */
const ended: Map<string, Election> = new Map();
/** Bounds the memory of a program that makes elections with ever new names, all of which are refused. */
const MOST_ENDED = 200;

/**
 * Notes that a campaign begins in an election, or that none runs any more.
 *
 * @param keys prefix of the candidates' keys.
 * @param reason what is wrong, of `health()`.
 */
export function noteCampaign(
  election: Election,
  keys: string,
  isStanding: boolean,
  reason: string | undefined,
): void {
  ended.delete(keys);
  if (isStanding) {
    standing.add(election);
    return;
  }
  standing.delete(election);
  if (reason !== undefined) ended.set(keys, election);
  for (const oldest of ended.keys()) if (ended.size > MOST_ENDED) ended.delete(oldest);
}

/** The elections of this process in which a campaign runs at the moment. */
export const liveElections = (): readonly Election[] => [...standing];

/**
 * The elections of this process in which no campaign runs, although `health()` names a reason: the campaign was refused,
 * or its work goes on after its end. At most the last 200.
 */
export function failedElections(): readonly Election[] {
  for (const [keys, election] of ended) if (election.health().reason === undefined) ended.delete(keys);
  return [...ended.values()];
}
