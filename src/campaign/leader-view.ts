/**
 * Who leads, as one campaign shows it: by the queue, by the clock, and never ourselves once our lease has run out.
 */
import type { Candidate as Queued } from '../core/candidate-queue.ts';
import type { LiveTerm } from '../term/live-term.ts';
import type { CampaignReport } from './campaign-report.ts';
import type { Callbacks } from './callbacks.ts';
import { seen, type Candidate } from '../core/candidate.ts';
import type { QueueWatcher } from './queue-watcher.ts';

export class LeaderView {
  readonly #watcher: QueueWatcher;
  readonly #callbacks: Callbacks;
  readonly #report: CampaignReport;
  #ownKey: string | undefined;
  #isLeaseLost = false;
  /** The leader that was reported last. */
  #told: Queued | undefined;

  constructor(watcher: QueueWatcher, callbacks: Callbacks, report: CampaignReport) {
    this.#watcher = watcher;
    this.#callbacks = callbacks;
    this.#report = report;
  }

  /** Key of our last candidacy; undefined before the first. */
  get ownKey(): string | undefined {
    return this.#ownKey;
  }

  /** Whether our lease has run out, and we have not entered anew since: etcd may still show our key. */
  get isLeaseLost(): boolean {
    return this.#isLeaseLost;
  }

  /** We have entered under this key. */
  entered(ownKey: string): void {
    this.#ownKey = ownKey;
    this.#isLeaseLost = false;
  }

  leaseLost(): void {
    this.#isLeaseLost = true;
    this.tellChange();
  }

  /** @param term our own term: its deadline proves it. Without one the queue must be confirmed. */
  leader(term: LiveTerm | undefined): Candidate | undefined {
    const isBelieved = term === undefined ? this.#watcher.isConfirmed : term.leftMs > 0;
    if (this.#watcher.queue.isLeaderUnknown) this.#watcher.askLeader();
    return isBelieved ? this.see(this.#watcher.queue.leader) : undefined;
  }

  see(candidate: Queued | undefined): Candidate | undefined {
    return candidate && seen(candidate, this.#ownKey);
  }

  /** Tells the log and `onLeaderChange` if another leads, or announces another value. */
  tellChange(): void {
    const { queue, isConfirmed } = this.#watcher;
    const isOurs = this.#isLeaseLost && queue.leader?.key === this.#ownKey;
    const leader = isConfirmed && !isOurs ? queue.leader : undefined;
    const told = this.#told;
    if (leader?.fencingToken === told?.fencingToken && leader?.value === told?.value) return;
    this.#told = leader;
    this.#report.leaderChanged(leader);
    this.#callbacks.noteLeader(this.see(leader));
  }
}
