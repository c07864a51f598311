import type { Snapshot } from '../elections.ts';
import type { Verdict } from '../evidence/report.ts';

/** A term that this process led when the problem was noticed. A later term of the same election does not match it. */
export interface LedTerm {
  readonly name: string;
  readonly fencingToken: string;
  /** Wall clock until which its lease is valid, according to the last message of the main thread. */
  readonly validUntil: number;
}

export const ledTerms = ({ at, elections }: Snapshot): LedTerm[] =>
  elections.flatMap(({ name, state, term }) =>
    state === 'leading' && term !== undefined
      ? [{ name, fencingToken: term.fencingToken, validUntil: at + term.remainingMs }]
      : [],
  );

/** Notes on the terms of a starved process, for its report. A block that is over has none, because its lease may be valid. */
export function leadershipNote(verdict: Verdict, terms: readonly LedTerm[], now: number): string[] {
  if (verdict !== 'starved') return [];
  return terms.map(({ name, validUntil }) => {
    const leftMs = validUntil - now;
    const lease =
      leftMs > 0
        ? `its lease ends in about ${(leftMs / 1000).toFixed(1)} s`
        : 'its lease may have ended already';
    return `this process leads "${name}" and cannot renew while it spins: ${lease}, then another replica leads`;
  });
}
