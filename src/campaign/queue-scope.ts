/**
 * Decides which part of a queue one reader reads and watches, and when to read again. An observer reads the whole queue. A
 * candidate reads only the part that core/queue-part describes.
 */
import type { Candidacy } from '../core/campaign-state.ts';
import type { CandidateQueue, QueuedCandidate } from '../core/candidate-queue.ts';
import {
  needsRead,
  leaderEveryMs,
  leaderSpreadMs,
  partOf,
  spreadMs,
  type QueuePart,
} from '../core/queue-part.ts';
import { readQueue, type Entry } from '../etcd/election-keys.ts';
import { readNeighbourhood } from '../etcd/neighbourhood.ts';
import type { CallLimits, EtcdTransport } from '../etcd/transport.ts';
import { clock } from '../util/clock.ts';

export interface ScopeTools {
  readonly keyPrefix: string;
  readonly transport: EtcdTransport;
}

interface Shown extends Pick<QueuePart, 'ahead'> {
  readonly total: number;
}

export class QueueScope {
  readonly #tools: ScopeTools;
  readonly #queue: CandidateQueue;
  readonly #own: Candidacy | undefined;
  #shown: Shown = { ahead: undefined, total: 0 };
  /** When to read again; undefined if nothing is missing. */
  #dueAtMs: number | undefined;
  /** The earliest time to read the leader; undefined while it is known. */
  #leaderDueAtMs: number | undefined;
  #leaderReadAtMs = Number.NEGATIVE_INFINITY;

  /** @param entry our entry, if we are a candidate. The candidates in its answer fill the queue at once. */
  constructor(tools: ScopeTools, queue: CandidateQueue, entry: Entry | undefined) {
    this.#tools = tools;
    this.#queue = queue;
    this.#own = entry?.candidacy;
    if (entry === undefined) return;
    const { candidates, hidden, candidacy } = entry;
    const after = candidates.at(-2)?.fencingToken ?? 0n;
    queue.reset(
      candidates,
      hidden > 0 ? { after, before: candidacy.createRevision, count: hidden } : undefined,
    );
  }

  /** The keys to watch; undefined for the whole queue. */
  get keys(): readonly string[] | undefined {
    const { ahead } = this.#shown;
    if (ahead === undefined) return undefined;
    const { leader } = this.#queue;
    const keys = [this.#own!.key, ...ahead.map(({ key }) => key)];
    return leader === undefined ? keys : [...keys, leader.key];
  }

  /** Reads the queue. @returns the revision, and a function that applies the answer. @throws {EtcdError} */
  async read(limits: CallLimits, isLeaderWanted: boolean): Promise<{ revision: bigint; show: () => void }> {
    const { keyPrefix, transport } = this.#tools;
    const own = this.#own;
    if (own !== undefined) {
      const isFirstWanted = this.#isFirstWanted(own, isLeaderWanted);
      const wanted = { own, leader: this.#leaderToKeep(isLeaderWanted), isFirstWanted };
      const seen = await readNeighbourhood(transport, keyPrefix, wanted, limits);
      if (seen !== undefined) {
        const show = (): void => {
          if (isFirstWanted) {
            this.#leaderReadAtMs = clock.now();
            this.#leaderDueAtMs = undefined;
          }
          const part = partOf(seen, own, this.#queue.olderThan(own));
          this.#queue.reset(part.candidates, part.gap);
          this.#showed({ ahead: part.ahead, total: seen.total });
        };
        return { revision: seen.revision, show };
      }
    }
    const { revision, candidates } = await readQueue(transport, keyPrefix, limits);
    const show = (): void => {
      this.#queue.reset(candidates);
      this.#showed({ ahead: undefined, total: candidates.length });
    };
    return { revision, show };
  }

  #showed(shown: Shown): void {
    this.#shown = shown;
    this.#dueAtMs = undefined;
    if (!this.#queue.isLeaderUnknown) this.#leaderDueAtMs = undefined;
  }

  /**
   * The leader that a candidate far back keeps and watches. A leader known only from the answer to our entry is dropped,
   * unless the program asks for the leader. Otherwise every candidate would watch the leader, and etcd would report its end to
   * all of them.
   */
  #leaderToKeep(isLeaderWanted: boolean): QueuedCandidate | undefined {
    const isOfEntry = this.#shown.ahead === undefined;
    return isLeaderWanted || !isOfEntry ? this.#queue.leader : undefined;
  }

  /**
   * Whether the read must include the first candidates. Near the front: if we lead and do not know the next candidate. Far
   * back: if a read of the leader is due.
   */
  #isFirstWanted(own: Candidacy, isLeaderWanted: boolean): boolean {
    if (this.#shown.ahead === undefined) return needsRead(this.#queue, own, undefined);
    return isLeaderWanted && this.#leaderDueAtMs !== undefined && clock.now() >= this.#leaderDueAtMs;
  }

  /**
   * Plans the next read. Near the front it is due at once, far back at a random time.
   *
   * @returns when the read is due, by `clock.now()`; undefined if no read is needed before the next change.
   */
  planRead(isLeaderWanted: boolean): number | undefined {
    const own = this.#own;
    if (own === undefined) return undefined;
    const { ahead, total } = this.#shown;
    const now = clock.now();
    if (needsRead(this.#queue, own, ahead))
      this.#dueAtMs ??=
        now + (ahead === undefined ? 0 : Math.random() * spreadMs(this.#queue.olderThan(own), total));
    if (ahead !== undefined && this.#queue.isLeaderUnknown)
      this.#leaderDueAtMs ??= Math.max(
        now + Math.random() * leaderSpreadMs(total),
        this.#leaderReadAtMs + leaderEveryMs(total),
      );
    const leaderDueAtMs = isLeaderWanted ? this.#leaderDueAtMs : undefined;
    if (this.#dueAtMs === undefined || leaderDueAtMs === undefined) return this.#dueAtMs ?? leaderDueAtMs;
    return Math.min(this.#dueAtMs, leaderDueAtMs);
  }
}
