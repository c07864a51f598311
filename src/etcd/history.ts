/**
 * Tracks the newest revision and the highest raft term that this client has seen from etcd.
 *
 * Both only grow, until etcd is wiped or restored from a snapshot. Then earlier leases, keys and revisions mean
 * nothing, and etcd may issue a fencing token a second time. Only this file detects that.
 *
 * A restore may also raise the revision (`--bump-revision`). Then no token repeats, but deleted keys come back too.
 */
import { clock } from '../util/clock.ts';

/** etcd writes fewer revisions than this in a millisecond. A faster growth of the revision is a leap. */
const MOST_REVISIONS_A_MS = 100;
/** A smaller growth is no leap. Answers may reach us together, although etcd sent them seconds apart. */
const SMALLEST_LEAP = 500_000;

export interface Header {
  readonly revision: string;
  readonly raft_term: string;
}

/**
 * What the header of an answer proves:
 * - `nothing`: the member may lag behind (renewals, watches, serializable reads).
 * - `revision`: a linearizable read. Its revision is at least as high as every revision that was seen before the call
 *   was sent.
 * - `revision-and-term`: a write. The member has applied the entry of the write, and entries never go back to an
 *   earlier term. A read does not prove the term. A member that caught up by a snapshot from etcd's leader learns the
 *   term only with the next entry.
 */
export type Proves = 'nothing' | 'revision' | 'revision-and-term';

export interface Known {
  readonly revision: bigint;
  readonly raftTerm: bigint;
  /** How often history has gone back. */
  readonly era: number;
}

export interface WentBack {
  readonly fromRevision: bigint;
  readonly toRevision: bigint;
}

export class History {
  #known: Known = { revision: 0n, raftTerm: 0n, era: 0 };
  /** When the last answer came. */
  #toldAtMs = clock.now();
  readonly #listeners = new Set<(wentBack: WentBack) => void>();
  readonly #restoreListeners = new Set<() => void>();

  get known(): Known {
    return this.#known;
  }

  onWentBack(listener: (wentBack: WentBack) => void): void {
    this.#listeners.add(listener);
  }

  /** Calls back when the revision has gone back, or has leapt forward as after a restore with `--bump-revision`. */
  onRestored(listener: () => void): void {
    this.#restoreListeners.add(listener);
  }

  /**
   * Records the header of an answer, and detects whether history went back.
   *
   * @param asked what was {@link known} when the call was sent. If the answer proves something older, history went
   *   back.
   */
  told(header: Header, proves: Proves, asked: Known): void {
    if (asked.era !== this.#known.era) return; // the call was sent before history went back
    const revision = BigInt(header.revision);
    const raftTerm = BigInt(header.raft_term);
    const isBack =
      (proves !== 'nothing' && revision < asked.revision) ||
      (proves === 'revision-and-term' && raftTerm < asked.raftTerm);
    const before = this.#known;
    const isLeap = this.#isLeap(before.revision, revision);
    this.#toldAtMs = clock.now();
    if (!isBack) {
      this.#known = {
        revision: larger(revision, before.revision),
        raftTerm: larger(raftTerm, before.raftTerm),
        era: before.era,
      };
      if (isLeap) this.#tellRestored();
      return;
    }
    this.#known = { revision, raftTerm, era: before.era + 1 };
    for (const listener of this.#listeners) listener({ fromRevision: before.revision, toRevision: revision });
    this.#tellRestored();
  }

  #tellRestored(): void {
    for (const listener of this.#restoreListeners) listener();
  }

  #isLeap(from: bigint, to: bigint): boolean {
    if (from === 0n) return false; // the first answer
    const possible = SMALLEST_LEAP + MOST_REVISIONS_A_MS * (clock.now() - this.#toldAtMs);
    return Number(to - from) > possible;
  }
}

const larger = (a: bigint, b: bigint): bigint => (a > b ? a : b);
