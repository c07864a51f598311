/**
 * What a term can do in etcd: announce another value, and write under its fencing token.
 */
import type { Candidacy } from './core/campaign.ts';
import { proclaim } from './etcd/candidacy.ts';
import { EtcdFault } from './etcd/fault.ts';
import { commitFenced, txnBuilder } from './etcd/fenced-txn.ts';
import type { Link } from './etcd/link.ts';
import { writeError } from './faults.ts';
import { checkValue } from './options.ts';
import { CALL_LIMIT_MS, type Session } from './session.ts';
import type { LiveTerm, TermTools } from './term.ts';

/** How long a fenced write may stay unanswered, in milliseconds, before its outcome counts as unknown. */
const WRITE_LIMIT_MS = 2 * CALL_LIMIT_MS;

export function termTools(
  election: string,
  link: Link,
  session: Session,
  candidacy: Candidacy,
  announcing: { pass(signal: AbortSignal): Promise<void>; done(value: string): void },
): TermTools {
  /**
   * Every write under the term is sent here, and rejects here.
   *
   * @param send resolves with undefined if the fence failed.
   */
  const write = async <T>(term: LiveTerm, send: () => Promise<T | undefined>): Promise<T> => {
    if (!term.isCurrent()) throw term.lost();
    const answer = await send().catch((fault: unknown) => {
      throw fault instanceof EtcdFault ? writeError(election, candidacy.createRevision, fault) : fault;
    });
    if (answer === undefined) throw term.lostInEtcd();
    return answer;
  };
  /** One announcement at a time. Calls that come before it is sent share it, and the newest value wins. */
  let unsent: { value: string; readonly sent: Promise<void> } | undefined;
  let last: Promise<unknown> = Promise.resolve();
  const announce = async (term: LiveTerm): Promise<void> => {
    await Promise.all([last, announcing.pass(term.signal)]);
    const { value } = unsent!;
    unsent = undefined;
    await write(term, async () => {
      const isOurs = await proclaim(link, candidacy, value, { withinMs: CALL_LIMIT_MS }).catch((fault) => {
        if ((fault as EtcdFault).kind === 'lease-gone') return false; // it was the term's
        throw fault;
      });
      return isOurs || undefined;
    });
    announcing.done(value);
  };
  return {
    remainingMs: () => session.remainingMs(),
    proclaim(term, value) {
      checkValue(value, election);
      if (!term.isCurrent()) throw term.lost();
      if (unsent === undefined) {
        unsent = { value, sent: announce(term) };
        last = unsent.sent.catch(() => undefined);
      } else unsent.value = value;
      return unsent.sent;
    },
    txn: (term) =>
      txnBuilder((txn, options) =>
        write(term, () => commitFenced(link, candidacy, txn, options, { withinMs: WRITE_LIMIT_MS })),
      ),
  };
}
