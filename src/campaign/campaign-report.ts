/**
 * Tells what happens to the campaigns of one election: each event with what its readers need to know.
 */
import type { EndCause, StopCause, Candidacy } from '../core/campaign-state.ts';
import type { Candidate } from '../core/candidate-queue.ts';
import type { ElectionError } from '../errors.ts';
import type { EtcdError } from '../etcd/etcd-error.ts';
import type { EventLog } from '../logging/event-log.ts';
import type { GuardListener } from '../loop-guard/loop-guard.ts';
import type { LiveTerm } from '../term/live-term.ts';
import type { CallbackName } from '../term/term-work.ts';
import { clock } from '../util/clock.ts';
import type { UnusualUsage } from '../events.ts';
import { recentStall } from '../util/event-loop-stall.ts';

export class CampaignReport {
  readonly #election: string;
  readonly #eventLog: EventLog;
  /** The unusual usages that were reported. Each is reported only once. */
  readonly #told = new Set<UnusualUsage>();
  /** Tells what the guard does to the election. */
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
    const fencingToken = createRevision.toString();
    this.#eventLog.report({
      type: 'candidate.entered',
      election: this.#election,
      key,
      fencingToken,
      position,
    });
  }

  /** The campaign did not get into the queue, and tries again. */
  enterFailed({ message: reason }: EtcdError): void {
    this.#eventLog.report({ type: 'candidate.failed', election: this.#election, reason });
  }

  refused(reason: string, forMs: number): void {
    this.#eventLog.report({ type: 'candidate.refused', election: this.#election, reason, forMs });
  }

  /** The wait for a term is over although we still want to lead. */
  lostPlace({ createRevision }: Candidacy, reason: EndCause): void {
    const fencingToken = createRevision.toString();
    this.#eventLog.report({ type: 'candidate.lost', election: this.#election, fencingToken, reason });
  }

  /** @param awaitedBy election whose work awaits this one. */
  waitsForLong(position: number, leader: string | undefined, waitedMs: number, awaitedBy?: string): void {
    this.#eventLog.report({
      type: 'candidate.waiting',
      election: this.#election,
      position,
      leader,
      waitedMs,
      awaitedBy,
    });
  }

  /** What many write by mistake; told once. */
  unusual(usage: UnusualUsage, reason: string): void {
    if (this.#told.has(usage)) return;
    this.#told.add(usage);
    this.#eventLog.report({ type: 'usage.unusual', election: this.#election, usage, reason });
  }

  leaderChanged(leader: Candidate | undefined): void {
    this.#eventLog.report({
      type: 'leader.changed',
      election: this.#election,
      fencingToken: leader?.fencingToken.toString(),
      value: leader?.value,
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
      ledMs: clock.now() - term.startedAtMs,
    });
  }

  /** The lease was lost because this process did not run: etcd and the network are not the cause. */
  stalled(term: LiveTerm, reason: EndCause, ttlMs: number): void {
    if (reason !== 'deadline-passed' && reason !== 'lease-lost') return;
    const stall = recentStall(ttlMs);
    if (stall === undefined) return;
    const fencingToken = term.fencingToken.toString();
    this.#eventLog.report({ type: 'process.stalled', election: this.#election, fencingToken, ...stall });
  }

  /** A term that is over is still asked, although a newer one has begun. Told once for each term. */
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

  /** Bound to this report: callbacks get it as a function. */
  readonly callbackFailed = (callback: CallbackName, error: unknown): void =>
    this.#eventLog.report({ type: 'callback.failed', election: this.#election, callback, error });

  campaignEnded(reason: StopCause, error: ElectionError): void {
    this.#eventLog.report({
      type: 'campaign.ended',
      election: this.#election,
      reason,
      ...(reason === 'refused' && { error }),
    });
  }
}
