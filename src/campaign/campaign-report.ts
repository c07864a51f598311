/**
 * Reports the events of the campaigns of one election.
 */
import type { EndCause, StopCause, Candidacy } from '../core/campaign-state.ts';
import type { QueuedCandidate } from '../core/candidate-queue.ts';
import type { ElectionError } from '../errors.ts';
import type { EtcdError } from '../etcd/etcd-error.ts';
import type { EventLog } from '../logging/event-log.ts';
import { Outage } from '../logging/outage.ts';
import type { GuardListener } from '../loop-guard/loop-guard.ts';
import type { LiveTerm } from '../term/live-term.ts';
import { clock } from '../util/clock.ts';
import type { CallbackName, EventOf, UnusualUsage } from '../events.ts';
import { recentStall } from '../util/event-loop-stall.ts';

export class CampaignReport {
  readonly #election: string;
  readonly #entryFailures = new Outage();
  readonly #eventLog: EventLog;
  #told: Set<UnusualUsage> | undefined;
  readonly guard: GuardListener;

  constructor(election: string, eventLog: EventLog) {
    this.#election = election;
    this.#eventLog = eventLog;
    this.guard = {
      tripped: (fact) => eventLog.report({ type: 'guard.tripped', election, ...fact }),
      recovered: (fact) => eventLog.report({ type: 'guard.recovered', election, ...fact }),
    };
  }

  entered({ key, createRevision }: Candidacy, position: number): void {
    this.#entryFailures.over();
    const fencingToken = createRevision.toString();
    this.#eventLog.report({
      type: 'candidate.entered',
      election: this.#election,
      key,
      fencingToken,
      position,
    });
  }

  /** The campaign could not enter the queue, and tries again. An outage has many tries, so the log has one line a minute. */
  enterFailed({ message: reason }: EtcdError): void {
    const isRepeated = this.#entryFailures.note() === undefined;
    this.#eventLog.report({ type: 'candidate.failed', election: this.#election, reason, isRepeated });
  }

  refused(reason: string, forMs: number): void {
    this.#eventLog.report({ type: 'candidate.refused', election: this.#election, reason, forMs });
  }

  lostPlace({ createRevision }: Candidacy, reason: EndCause): void {
    const fencingToken = createRevision.toString();
    this.#eventLog.report({ type: 'candidate.lost', election: this.#election, fencingToken, reason });
  }

  waitsForLong(wait: Omit<EventOf<'candidate.waiting'>, 'type' | 'election'>): void {
    this.#eventLog.report({ type: 'candidate.waiting', election: this.#election, ...wait });
  }

  /** Reports each kind of unusual usage once. */
  unusual(usage: UnusualUsage, reason: string): void {
    this.#told ??= new Set();
    if (this.#told.has(usage)) return;
    this.#told.add(usage);
    this.#eventLog.report({ type: 'usage.unusual', election: this.#election, usage, reason });
  }

  /** @param isKnown false if the leader is unknown, rather than absent. */
  leaderChanged(leader: QueuedCandidate | undefined, isKnown: boolean): void {
    this.#eventLog.report({
      type: 'leader.changed',
      election: this.#election,
      fencingToken: leader?.fencingToken.toString(),
      value: leader?.value,
      isKnown,
    });
  }

  termStarted({ fencingToken, value, leaseId }: LiveTerm, clusterId: string | undefined): void {
    this.#eventLog.report({
      type: 'term.started',
      election: this.#election,
      fencingToken: fencingToken.toString(),
      value,
      leaseId,
      clusterId,
    });
  }

  termEnded(term: LiveTerm, reason: EndCause): void {
    this.#eventLog.report({
      type: 'term.ended',
      election: this.#election,
      fencingToken: term.fencingToken.toString(),
      reason,
      ledMs: (term.endedAtMs ?? clock.now()) - term.startedAtMs,
    });
  }

  /** Reports that the event loop stood still before the lease was lost. Does nothing if there was no such stall. */
  stalled(term: LiveTerm, reason: EndCause, ttlMs: number): void {
    if (reason !== 'deadline-passed' && reason !== 'lease-lost') return;
    const stall = recentStall(ttlMs);
    if (stall === undefined) return;
    const fencingToken = term.fencingToken.toString();
    this.#eventLog.report({ type: 'process.stalled', election: this.#election, fencingToken, ...stall });
  }

  /** An ended term is still used although a newer one has begun. Reported once for every term. */
  staleUse(term: LiveTerm, current: LiveTerm | undefined): void {
    if (current === undefined || current === term || current.isOver || term.isStaleTold) return;
    term.isStaleTold = true;
    this.#eventLog.report({
      type: 'term.stale',
      election: this.#election,
      fencingToken: term.fencingToken.toString(),
      currentToken: current.fencingToken.toString(),
    });
  }

  workEnded(term: LiveTerm, isStaying: boolean): void {
    const fencingToken = term.fencingToken.toString();
    this.#eventLog.report({ type: 'work.ended', election: this.#election, fencingToken, isStaying });
  }

  drainOverdue(term: LiveTerm, afterMs: number, callbacks: readonly CallbackName[]): void {
    const fencingToken = term.fencingToken.toString();
    this.#eventLog.report({
      type: 'drain.overdue',
      election: this.#election,
      fencingToken,
      afterMs,
      stalledMs: recentStall(afterMs)?.stalledMs ?? 0,
      callbacks,
    });
  }

  followerOverdue(afterMs: number): void {
    this.#eventLog.report({ type: 'follower.overdue', election: this.#election, afterMs });
  }

  released(term: LiveTerm): void {
    this.#eventLog.report({
      type: 'term.released',
      election: this.#election,
      fencingToken: term.fencingToken.toString(),
      afterMs: clock.now() - (term.endedAtMs ?? clock.now()),
    });
  }

  releaseFailed(key: string, { message: reason }: EtcdError): void {
    this.#eventLog.report({ type: 'release.failed', election: this.#election, key, reason });
  }

  orphanDeleted({ key, fencingToken }: QueuedCandidate): void {
    const token = fencingToken.toString();
    this.#eventLog.report({ type: 'orphan.deleted', election: this.#election, key, fencingToken: token });
  }

  /** A bound function, because it is passed on as a callback. */
  readonly callbackFailed = (callback: CallbackName, error: unknown): void =>
    this.#eventLog.report({ type: 'callback.failed', election: this.#election, callback, error });

  skipped(leader: string | undefined): void {
    this.#eventLog.report({ type: 'campaign.ended', election: this.#election, reason: 'skipped', leader });
  }

  campaignEnded(reason: StopCause, error: ElectionError): void {
    this.#eventLog.report({
      type: 'campaign.ended',
      election: this.#election,
      reason,
      ...(reason === 'refused' && { error }),
    });
  }
}
