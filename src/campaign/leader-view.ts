/**
 * The leader as one campaign shows it. After our lease has run out, our own candidate is never shown as the leader.
 */
import { AsyncResource } from 'node:async_hooks';
import type { QueuedCandidate } from '../core/candidate-queue.ts';
import type { LiveTerm } from '../term/live-term.ts';
import type { CampaignReport } from './campaign-report.ts';
import type { Callbacks } from './callbacks.ts';
import { seen, type Candidate } from '../core/candidate.ts';
import { nextTurn } from '../util/clock.ts';
import type { QueueWatcher } from './queue-watcher.ts';

export class LeaderView {
  readonly #watcher: QueueWatcher;
  readonly #callbacks: Callbacks;
  readonly #report: CampaignReport;
  /**
   * The async context of the call that started the campaign. `onLeaderChange` must run in this context, although changes of the
   * queue arrive in another context.
   */
  readonly #context = new AsyncResource('etcd-election campaign');
  #ownKey: string | undefined;
  #isLeaseLost = false;
  /** Whether our term has begun or is over, since we last entered the queue. When it is over, etcd may still show our key. */
  #term: 'none' | 'begun' | 'over' = 'none';
  #told: QueuedCandidate | undefined;
  #wasKnown = true;

  constructor(watcher: QueueWatcher, callbacks: Callbacks, report: CampaignReport) {
    this.#watcher = watcher;
    this.#callbacks = callbacks;
    this.#report = report;
  }

  /** Key of our last candidacy; undefined before the first. */
  get ownKey(): string | undefined {
    return this.#ownKey;
  }

  /** Whether our lease has run out, and we have not entered again since. etcd may still show our key then. */
  get isLeaseLost(): boolean {
    return this.#isLeaseLost;
  }

  entered(ownKey: string): void {
    this.#ownKey = ownKey;
    this.#isLeaseLost = false;
    this.#term = 'none';
  }

  leaseLost(): void {
    this.#isLeaseLost = true;
    this.tellChange();
  }

  termBegun(): void {
    this.#term = 'begun';
    this.tellChange();
  }

  /** Our term is over. There is no leader until our key is deleted. */
  termOver(): void {
    this.#term = 'over';
    nextTurn(() => this.tellChange()); // one turn later, so that the delete of the key can be sent first
  }

  /** The leader to show to a caller. If we are far back and do not know the leader, requests a read for the next call. */
  leader(term: LiveTerm | undefined): Candidate | undefined {
    if (this.#watcher.queue.isLeaderUnknown) this.#watcher.askLeader();
    return this.knownLeader(term);
  }

  /**
   * The leader, if it is known. In our own term, our deadline proves that we lead. Otherwise etcd must have confirmed the
   * leader recently.
   */
  knownLeader(term: LiveTerm | undefined): Candidate | undefined {
    const isBelieved = term === undefined ? this.#watcher.isConfirmed : term.leftMs > 0;
    return isBelieved ? this.see(this.#watcher.queue.leader) : undefined;
  }

  see(candidate: QueuedCandidate | undefined): Candidate | undefined {
    return candidate && seen(candidate, this.#ownKey);
  }

  /** Reports a new leader, or a new value of the leader, to the log and to `onLeaderChange`. */
  tellChange(): void {
    const { queue, isConfirmed } = this.#watcher;
    const isOwn = queue.leader?.key === this.#ownKey;
    // Our deadline can pass without a message of etcd. If etcd has deleted our key meanwhile, another replica may lead.
    const isOutdated = this.#isLeaseLost && isOwn;
    const isKnown = isConfirmed && !queue.isLeaderUnknown && !isOutdated;
    const hasEnded = (this.#isLeaseLost || this.#term === 'over') && isOwn;
    // Our own leadership is told only when the term has begun, because `isCurrent()` is false until then.
    if (isOwn && isKnown && !hasEnded && this.#term !== 'begun') return;
    const leader = isKnown && !hasEnded ? queue.leader : undefined;
    const told = this.#told;
    const isSame = leader?.fencingToken === told?.fencingToken && leader?.value === told?.value;
    if (isSame && isKnown === this.#wasKnown) return;
    this.#told = leader;
    this.#wasKnown = isKnown;
    this.#report.leaderChanged(leader, isKnown);
    if (!isSame) this.#context.runInAsyncScope(() => this.#callbacks.noteLeader(this.see(leader)));
  }
}
