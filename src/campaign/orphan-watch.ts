/**
 * Deletes a key that is before ours in the queue, and has neither a lease nor a holder. Otherwise no replica could lead until
 * an operator deletes the key.
 *
 * The first two candidates with a lease look for such a key. One is not enough, because a leader does not look. The first
 * candidate may already lead when a restored snapshot brings the key back.
 */
import type { Candidacy } from '../core/campaign-state.ts';
import type { CandidateQueue, QueuedCandidate } from '../core/candidate-queue.ts';
import { CALL_LIMIT_MS } from '../client/session.ts';
import { EtcdError } from '../etcd/etcd-error.ts';
import { deleteIfOrphaned, isDetached } from '../etcd/orphan.ts';
import type { EtcdTransport } from '../etcd/transport.ts';
import { clock } from '../util/clock.ts';
import type { CampaignReport } from './campaign-report.ts';

/** etcd deletes a lease at most this long after the end of its TTL, in milliseconds. */
const EXPIRY_SWEEP_MS = 750;

interface OrphanWatchTools {
  readonly transport: EtcdTransport;
  readonly report: Pick<CampaignReport, 'orphanDeleted'>;
  /**
   * Called when the suspected key stays for now: the lease that its name contains still exists, the key is no orphan, or
   * etcd refused the examination.
   */
  readonly onKept: () => void;
}

export class OrphanWatch {
  readonly #tools: OrphanWatchTools;
  readonly #ttlMs: number;
  readonly #signal: AbortSignal;
  #suspect: QueuedCandidate | undefined;
  #sleep = new AbortController();
  #isExamining = false;

  /**
   * @param ttlMs the longest time between two looks, in milliseconds.
   * @param signal ends a call to etcd. A change of the queue does not end the call, because the watch may show our delete
   *   before etcd answers.
   */
  constructor(tools: OrphanWatchTools, ttlMs: number, signal: AbortSignal) {
    this.#tools = tools;
    this.#ttlMs = ttlMs;
    this.#signal = signal;
  }

  look(suspect: QueuedCandidate | undefined): void {
    const { key, fencingToken } = this.#suspect ?? {};
    if (suspect?.key === key && suspect?.fencingToken === fencingToken) return;
    this.#sleep.abort();
    this.#sleep = new AbortController();
    this.#suspect = suspect;
    this.#isExamining = suspect !== undefined;
    if (suspect !== undefined) void this.#examine(suspect, this.#sleep.signal);
  }

  get isExamining(): boolean {
    return this.#isExamining;
  }

  /** @param isOver aborts when another key, or none, is the suspect. */
  async #examine(suspect: QueuedCandidate, isOver: AbortSignal): Promise<void> {
    while (!isOver.aborted) {
      const waitMs = await this.#tryToDelete(suspect);
      if (waitMs === undefined) return;
      await clock.sleep(Math.min(waitMs, this.#ttlMs), isOver);
    }
  }

  /** @returns how long to wait before the next look, in milliseconds; undefined if no further look is needed. */
  async #tryToDelete(suspect: QueuedCandidate): Promise<number | undefined> {
    try {
      const limits = { withinMs: CALL_LIMIT_MS, signal: this.#signal };
      const fate = await deleteIfOrphaned(this.#tools.transport, suspect, limits);
      switch (fate.type) {
        case 'deleted':
          this.#tools.report.orphanDeleted(suspect);
          return undefined;
        case 'changed':
          return this.#ttlMs; // the watch shows the change earlier
        case 'held':
          this.#keep(suspect);
          return fate.leftMs + EXPIRY_SWEEP_MS;
        case 'kept':
          this.#keep(suspect);
          return undefined;
      }
    } catch (error) {
      if (!(error instanceof EtcdError)) throw error;
      if (error.kind === 'unavailable') return this.#ttlMs;
      this.#keep(suspect);
      return undefined; // etcd would refuse again
    }
  }

  #keep(suspect: QueuedCandidate): void {
    if (suspect !== this.#suspect) return;
    this.#isExamining = false;
    this.#tools.onKept();
  }
}

/** The first candidate, if it has no lease and at most one candidate before us has a lease; otherwise undefined. */
export function suspectIn(queue: CandidateQueue, own: Candidacy): QueuedCandidate | undefined {
  const { leader } = queue;
  if (leader === undefined || !isDetached(leader)) return undefined;
  let withLease = 0;
  for (const candidate of queue.candidates) {
    if (candidate.key === own.key) return leader;
    if (!isDetached(candidate) && ++withLease > 1) return undefined;
  }
  return undefined;
}
