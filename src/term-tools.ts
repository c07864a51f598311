/**
 * What a term can do in etcd: announce another value, and write under its fencing token.
 */
import type { Candidacy } from './core/campaign.ts';
import { proclaim } from './etcd/candidacy.ts';
import { EtcdFault } from './etcd/fault.ts';
import { fencedTxn } from './etcd/fenced-txn.ts';
import type { Link } from './etcd/link.ts';
import { writeError } from './faults.ts';
import { checkValue } from './options.ts';
import { CALL_LIMIT_MS, type Session } from './session.ts';
import type { TermTools } from './term.ts';

/** How long a fenced write may stay unanswered, in milliseconds, before its outcome counts as unknown. */
const WRITE_LIMIT_MS = 2 * CALL_LIMIT_MS;

export function termTools(
  election: string,
  link: Link,
  session: Session,
  candidacy: Candidacy,
  announcing: { pass(signal: AbortSignal): Promise<void>; done(value: string): void },
): TermTools {
  const errorOf = (fault: unknown): Error =>
    fault instanceof EtcdFault ? writeError(election, candidacy.createRevision, fault) : (fault as Error);
  return {
    remainingMs: () => session.remainingMs(),
    async proclaim(term, value) {
      checkValue(value, election);
      await announcing.pass(term.signal);
      term.assertCurrent();
      let announced: boolean;
      try {
        announced = await proclaim(link, candidacy, value, { withinMs: CALL_LIMIT_MS });
      } catch (fault) {
        throw errorOf(fault);
      }
      if (!announced) throw term.lost();
      announcing.done(value);
    },
    txn: (term) =>
      fencedTxn(
        link,
        candidacy,
        () => {
          term.assertCurrent();
          return { withinMs: WRITE_LIMIT_MS };
        },
        errorOf,
      ),
  };
}
