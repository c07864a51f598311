import type { ElectionSource } from '../elections.ts';
import type { Verdict } from '../evidence/report.ts';

/** A term that this process led when the problem was noticed. A later term of the same election does not match it. */
export interface LedTerm {
  readonly name: string;
  readonly fencingToken: string;
  /** Wall clock until which its lease is valid, in milliseconds since 1970, as of the last message of the main thread. */
  readonly validUntil: number;
}

/** Every term that this process leads. The snapshot for the pages has only some of the elections. */
export const ledTerms = (source: ElectionSource): LedTerm[] =>
  source.elections().flatMap((election) => {
    const term = election.health().leading ? election.status.term : undefined;
    if (term === undefined) return [];
    const validUntil = Date.now() + Math.round(term.remainingMs());
    return [{ name: election.name, fencingToken: String(term.fencingToken), validUntil }];
  });

/** How many terms of a starved process get a note in its report. */
const MOST_NOTES = 5;

/** Notes on the terms of a starved process, for its report. Once the block is over there are none: the leases may still be valid. */
export function leadershipNote(verdict: Verdict, terms: readonly LedTerm[], now: number): string[] {
  if (verdict !== 'starved') return [];
  const notes = terms.slice(0, MOST_NOTES).map(({ name, validUntil }) => {
    const leftMs = validUntil - now;
    const lease =
      leftMs > 0
        ? `its lease ends in about ${(leftMs / 1000).toFixed(1)} s, then another replica leads`
        : 'its lease may have ended already, and another replica may lead';
    return `this process leads "${name}" and cannot renew while it spins: ${lease}`;
  });
  const more = terms.length - notes.length;
  const elections = more === 1 ? 'election' : 'elections';
  return more > 0 ? [...notes, `it leads ${more} more ${elections}, and cannot renew there either`] : notes;
}
