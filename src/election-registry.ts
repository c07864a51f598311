/**
 * The elections of this process that have a campaign, and those whose last campaign has failed. Elections register themselves.
 * This file does not import their class, so that a bundler can leave out the class.
 *
 * All loaded copies of this package share the lists. Next.js, for example, bundles a copy into every route. So `/healthz` of
 * one copy must show the elections of another.
 */
import type { ElectionStatus } from './campaign/status.ts';
import type { ElectionHealth } from './core/health.ts';
import { shared } from './loop-guard/registry.ts';
import type { LiveTerm } from './term/live-term.ts';
import type { Term } from './term/term.ts';

/**
 * An election as the metrics and the watchdog read it. The library does not note these reads. It notes a read by the program,
 * because that read shows that the program checks its leadership. A read by the program also counts towards `RunawayLoopError`.
 */
export interface UnmarkedElection {
  readonly name: string;
  readonly status: Omit<ElectionStatus, 'term'> & {
    readonly term: Pick<Term, 'fencingToken' | 'value' | 'leaseId' | 'remainingMs'> | undefined;
  };
  health(): ElectionHealth;
  stepDown(): Promise<void>;
}

/**
 * What an election registers, once for all its campaigns. A copy of another version may read it. So a later version may add
 * fields, but must keep these, and must not need a field that it adds.
 */
export interface Registered {
  /** The `Election` object. */
  readonly election: object;
  /** The same for all `Election` objects of one name, prefix and list of endpoints. */
  readonly key: string;
  readonly unmarked: UnmarkedElection;
}

interface Lists {
  readonly standing: Set<Registered>;
  /** Elections whose last campaign has failed, by key. Some may have become healthy since. */
  readonly ended: Map<string, Registered>;
}

const { standing, ended } = shared<Lists>('elections', '', () => ({ standing: new Set(), ended: new Map() }));

/** Limits memory if a program keeps creating refused elections under new names. */
const MOST_ENDED = 200;

/**
 * Records that a campaign of an election begins, or has ended.
 *
 * @param reason the `reason` of `health()`; undefined if nothing is wrong.
 */
export function noteCampaign(one: Registered, isStanding: boolean, reason: string | undefined): void {
  ended.delete(one.key);
  if (isStanding) {
    standing.add(one);
    return;
  }
  standing.delete(one);
  if (reason !== undefined) ended.set(one.key, one);
  for (const oldest of ended.keys()) if (ended.size > MOST_ENDED) ended.delete(oldest);
}

/** An upper bound for the number of elections that {@link unmarkedElections} returns. */
export const registeredCount = (): number => standing.size + ended.size;

/** Elections in which a campaign runs at the moment. */
export const registeredLive = (): Registered[] => [...standing];

/** Elections in which no campaign runs, and for which `health()` names a reason. */
export function registeredFailed(): Registered[] {
  for (const [key, { unmarked }] of ended) if (unmarked.health().reason === undefined) ended.delete(key);
  return [...ended.values()];
}

/** The live elections, then the failed ones. */
export const unmarkedElections = (): UnmarkedElection[] =>
  [...registeredLive(), ...registeredFailed()].map(({ unmarked }) => unmarked);

/** Reads of an election that are not noted. */
interface Reads extends Pick<UnmarkedElection, 'name' | 'health' | 'stepDown'> {
  status(): Omit<ElectionStatus, 'term'> & { readonly term: LiveTerm | undefined };
}

export const unmarkedElection = (reads: Reads): UnmarkedElection => ({
  ...reads,
  get status() {
    const { term, ...rest } = reads.status();
    return { ...rest, term: term && unmarkedTerm(term) };
  },
});

function unmarkedTerm(term: LiveTerm): UnmarkedElection['status']['term'] {
  const { fencingToken, value, leaseId } = term;
  return { fencingToken, value, leaseId, remainingMs: () => term.leftMs };
}
