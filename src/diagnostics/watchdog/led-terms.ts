import type { ElectionSource } from '../elections.ts';
import type { Verdict } from '../evidence/report.ts';

/** A term that this process led when the main thread last reported. */
export interface LedTerm {
  readonly name: string;
  readonly fencingToken: string;
  /** When the term ends if the lease is not renewed, in milliseconds since 1970. The main thread's last message says it. */
  readonly validUntil: number;
}

/** Every term of this process. A `Snapshot` would not do, because it has only some of the elections. */
export const ledTerms = (source: ElectionSource): LedTerm[] =>
  source.elections().flatMap((election) => {
    const term = election.health().leading ? election.status.term : undefined;
    if (term === undefined) return [];
    const validUntil = Date.now() + Math.round(term.remainingMs());
    return [{ name: election.name, fencingToken: String(term.fencingToken), validUntil }];
  });

/** How many terms get a note of their own. */
const MOST_NOTES = 5;

/** Notes for the report of a starved process, which cannot renew. After a block there are none: the process renews again. */
export function leadershipNote(verdict: Verdict, terms: readonly LedTerm[], now: number): string[] {
  if (verdict !== 'starved') return [];
  const notes = terms.slice(0, MOST_NOTES).map(({ name, validUntil }) => {
    const leftMs = validUntil - now;
    const term =
      leftMs > 0
        ? `its term ends in about ${(leftMs / 1000).toFixed(1)} s, and soon after that another replica may lead`
        : 'its term may have ended already, and another replica may lead';
    return `this process leads "${name}" and cannot renew while it spins: ${term}`;
  });
  const more = terms.length - notes.length;
  const elections = more === 1 ? 'election' : 'elections';
  return more > 0 ? [...notes, `it leads ${more} more ${elections}, and cannot renew there either`] : notes;
}
