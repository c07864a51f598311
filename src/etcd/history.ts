/**
 * How far etcd's history has come, as this client has been told: the newest revision and the highest raft term.
 *
 * In one history both only grow. They go back when etcd was wiped, or restored from a snapshot: then leases, keys and
 * revisions of before mean nothing any more, and a fencing token may be given out a second time. This is the one place
 * that notices.
 */

/** What every answer of etcd carries. */
export interface Header {
  readonly revision: string;
  readonly raft_term: string;
}

/**
 * How much the header of an answer proves:
 *
 * - `nothing`: it may come from a member that lags behind (renewals, watches, serializable reads).
 * - `revision`: a linearizable read. Its revision includes all that was told before it was asked.
 * - `revision-and-term`: a write. Its own entry is applied, and entries never go back to an earlier term. (A read's term
 *   can be too low: a member that caught up by a snapshot knows the term only with the next entry.)
 */
export type Proves = 'nothing' | 'revision' | 'revision-and-term';

/** What etcd has told until some moment. Taken before a call is sent, it says what the answer must have reached. */
export interface Known {
  readonly revision: bigint;
  readonly raftTerm: bigint;
  /** Counts the times that history has gone back. */
  readonly era: number;
}

export interface WentBack {
  readonly fromRevision: bigint;
  readonly toRevision: bigint;
}

export class History {
  #known: Known = { revision: 0n, raftTerm: 0n, era: 0 };
  readonly #listeners = new Set<(wentBack: WentBack) => void>();

  get known(): Known {
    return this.#known;
  }

  /** Calls back each time that history has gone back. */
  onWentBack(listener: (wentBack: WentBack) => void): void {
    this.#listeners.add(listener);
  }

  /** @param asked what was {@link known} when the call was sent. */
  told(header: Header, proves: Proves, asked: Known): void {
    if (asked.era !== this.#known.era) return; // asked of the history before this one
    const revision = BigInt(header.revision);
    const raftTerm = BigInt(header.raft_term);
    const isBack =
      (proves !== 'nothing' && revision < asked.revision) ||
      (proves === 'revision-and-term' && raftTerm < asked.raftTerm);
    const before = this.#known;
    if (!isBack) {
      this.#known = {
        revision: larger(revision, before.revision),
        raftTerm: larger(raftTerm, before.raftTerm),
        era: before.era,
      };
      return;
    }
    this.#known = { revision, raftTerm, era: before.era + 1 };
    for (const listener of this.#listeners) listener({ fromRevision: before.revision, toRevision: revision });
  }
}

const larger = (a: bigint, b: bigint): bigint => (a > b ? a : b);
