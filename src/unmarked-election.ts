/**
 * Shows an election to the metrics and the watchdog. When the program reads an election, the library notes that the program asks
 * whether it leads, and counts the read towards `RunawayLoopError`. A scrape must leave neither mark.
 */
import type { ElectionStatus } from './campaign/status.ts';
import type { Election } from './election.ts';
import type { ElectionHealth } from './core/health.ts';
import type { LiveTerm } from './term/live-term.ts';
import type { Term } from './term/term.ts';

export interface UnmarkedElection extends Pick<Election, 'name' | 'health' | 'stepDown'> {
  readonly status: Omit<ElectionStatus, 'term'> & {
    readonly term: Pick<Term, 'fencingToken' | 'value' | 'leaseId' | 'remainingMs'> | undefined;
  };
}

/** Reads of an election that leave no mark. */
interface Reads {
  status(election: Election): Omit<ElectionStatus, 'term'> & { readonly term: LiveTerm | undefined };
  health(election: Election): ElectionHealth;
}

let reads: Reads;

/** Sets how an election is read. The class calls this, because only the class can read its private fields. */
export function showUnmarked(own: Reads): void {
  reads = own;
}

/** Shows an election. Reading what is shown leaves no mark. */
export const unmarked = (election: Election): UnmarkedElection => ({
  name: election.name,
  get status() {
    const status = reads.status(election);
    return { ...status, term: status.term && unmarkedTerm(status.term) };
  },
  health: () => reads.health(election),
  stepDown: () => election.stepDown(),
});

function unmarkedTerm(term: LiveTerm): UnmarkedElection['status']['term'] {
  const { fencingToken, value, leaseId } = term;
  return { fencingToken, value, leaseId, remainingMs: () => term.leftMs };
}
