/**
 * Our wait in the queue, and our term. An event of the watch, the session, the work or the campaign ends the wait or the term.
 * Only the first such event counts: it decides the outcome.
 */
import type { CampaignState, Candidacy, EndCause, LossCause, Outcome } from '../core/campaign-state.ts';
import { isStanding, type QueuedCandidate } from '../core/candidate-queue.ts';
import { followerLimitMs } from '../core/health.ts';
import type { ElectionError } from '../errors.ts';
import { EtcdError } from '../etcd/etcd-error.ts';
import type { LiveTerm } from '../term/live-term.ts';
import type { Term } from '../term/term.ts';
import { clock } from '../util/clock.ts';
import { Deferred } from '../util/deferred.ts';
import { watchEventLoop } from '../util/event-loop-stall.ts';
import { LongWait } from './long-wait.ts';
import { OrphanWatch, suspectIn } from './orphan-watch.ts';
import { isForeign } from '../etcd/orphan.ts';
import { stopWork } from './term-end.ts';
import { newTerm, watchProgress } from './term-start.ts';
import {
  tellClosedClient,
  tellExit,
  tellSharedValue,
  tellUnaskedTerm,
  tellUnawaited,
  tellUnusedTerm,
} from './unusual-usage.ts';
import type { TurnTools } from './turn-tools.ts';

/** A program that uses a term does so within this time, in milliseconds. */
const UNUSED_MS = 2_000;

/** A program that asks the election this often probably asks before every act. */
const MANY_CHECKS = 3;

type Finish = (outcome: Outcome) => void;

export class Turn {
  readonly #tools: TurnTools;
  #term: LiveTerm | undefined;
  #nextTerm = new Deferred<Term>();
  readonly #longWait = new LongWait();
  /** Whether a caller has asked for a term since the last term began. */
  #isAsked = false;
  /** How often the program has asked the election whether we lead. */
  electionChecks = 0;
  /** Whether another candidate was before us. */
  hasWaited = false;
  /** The election in this process whose callback awaits our term; undefined if there is none. */
  awaitedBy: string | undefined;
  /** Set when a key before ours may have no holder. */
  #orphanWatch: OrphanWatch | undefined;
  /** Ends the present wait or term; undefined outside of both. */
  #finish: Finish | undefined;
  /** Checks the queue again: whether we lead now, or whether our key is gone. */
  #recheck: () => void = () => undefined;
  readonly #stopWatches: (() => void)[] = [];

  constructor(tools: TurnTools) {
    this.#tools = tools;
  }

  #isUnderWay(finish: Finish): boolean {
    return this.#finish === finish;
  }

  /** The present term. After its end it stays until its key is deleted. */
  get term(): LiveTerm | undefined {
    return this.#term;
  }

  /** Called when the queue may have changed. */
  recheck(): void {
    this.#recheck();
  }

  /** Ends the present wait or term. Only the first outcome counts. */
  finish(outcome: Outcome): void {
    this.#finish?.(outcome);
  }

  /** The present or the next term. Rejects if the campaign ends before there is one. */
  next(): Promise<Term> {
    this.#isAsked = true;
    const term = this.#term;
    return term !== undefined && term.leftMs > 0 ? Promise.resolve(term) : this.#nextTerm.promise;
  }

  endWait(): void {
    this.#longWait.end();
  }

  /** Rejects the promise of the next term with this error. */
  end(error: ElectionError): void {
    this.#nextTerm.reject(error);
  }

  wait(candidacy: Candidacy): Promise<Outcome> {
    const { candidateKey, queueWatcher, leaderView, callbacks, signal } = this.#tools;
    return this.#until((finish) => {
      const recheck = (): void => {
        if (!this.#stands(candidacy)) finish({ type: 'lost', reason: 'evicted' });
        else if (candidateKey.session?.isValid() !== true)
          finish({ type: 'lost', reason: 'deadline-passed' });
        else if (queueWatcher.queue.olderThan(candidacy) === 0) finish({ type: 'elected' });
        else {
          this.#lookForOrphan(candidacy);
          this.#skipOr(candidacy, follow);
        }
      };
      let isFollowing = false;
      const follow = (): void => {
        if (isFollowing) return;
        isFollowing = true;
        callbacks.follow(leaderView.see(queueWatcher.queue.leader), signal);
        this.hasWaited = true;
      };
      recheck();
      if (this.#isUnderWay(finish))
        this.#longWait.begin((waitedMs) => this.#tellLongWait(candidacy, waitedMs));
      return recheck;
    });
  }

  #lookForOrphan(candidacy: Candidacy): void {
    const { queueWatcher, candidateKey, transport, report, signal } = this.#tools;
    const suspect = suspectIn(queueWatcher.queue, candidacy);
    if (suspect !== undefined)
      this.#orphanWatch ??= new OrphanWatch(
        { transport, report, onKept: () => this.recheck() },
        candidateKey.session!.ttlMs,
        signal,
      );
    this.#orphanWatch?.look(suspect);
  }

  /**
   * With `ifFree`, gives up if another candidate is ahead. A possible orphan is examined first. Without `ifFree`, tells
   * `onFollower` of that candidate. Does nothing while the leader is unknown, because then perhaps nobody is ahead. Of
   * candidates that we have not read, we know only the number, from etcd's count of keys. That count includes keys of
   * nested elections (`p/q/…` under `p/`).
   */
  #skipOr(candidacy: Candidacy, follow: () => void): void {
    const { queueWatcher, skip } = this.#tools;
    const { leader } = queueWatcher.queue;
    if (leader === undefined || leader.key === candidacy.key) return;
    if (skip === undefined) follow();
    else if (this.#orphanWatch?.isExamining !== true) skip(leader.value);
  }

  /** Warns if the process exits during a term. */
  tellExit(): void {
    const { report, election, settings } = this.#tools;
    if (this.#term !== undefined && !settings.lastWill) tellExit(report, election, settings.ttlSeconds);
  }

  tellSharedValue({ key }: Candidacy): Promise<void> {
    const { report, election, queueWatcher, candidateKey, signal } = this.#tools;
    const { ttlMs } = candidateKey.session!;
    return tellSharedValue(report, election, queueWatcher, { ownKey: key, ttlMs, signal });
  }

  #tellLongWait(candidacy: Candidacy, waitedMs: number): void {
    const { queueWatcher, leaderView, report } = this.#tools;
    const { leader: first } = queueWatcher.queue;
    report.waitsForLong({
      position: queueWatcher.queue.place(candidacy).position,
      leader: leaderView.knownLeader(undefined)?.value,
      waitedMs,
      awaitedBy: this.awaitedBy,
      blockedBy: first !== undefined && isForeign(first) ? first.key : undefined,
    });
  }

  /** Leads until the term ends. */
  serve(candidacy: Candidacy): Promise<Outcome> {
    const { settings, transport, leaderView, report, callbacks } = this.#tools;
    this.#longWait.end();
    return this.#until((finish) => {
      const lose = (reason: LossCause): void => finish({ type: 'lost', reason });
      const term = newTerm(this.#tools, candidacy, lose);
      this.#term = term;
      report.termStarted(term, transport.clusterId);
      const recheck = (): void => {
        if (!this.#stands(candidacy)) lose('evicted');
        else if (term.leftMs <= 0) lose('deadline-passed');
      };
      if (!this.#isUnderWay(finish)) return recheck; // a subscriber of diagnostics_channel has ended the term
      this.#nextTerm.resolve(term);
      this.awaitedBy = undefined;
      this.#nextTerm = new Deferred();
      if (!this.#isAsked || this.electionChecks > 0) void this.#tellUnused(term);
      this.#isAsked = false;
      recheck(); // the queue may have changed since we were elected
      if (!this.#isUnderWay(finish)) return recheck;
      leaderView.termBegun();
      if (!this.#isUnderWay(finish)) return recheck; // onLeaderChange has ended the term
      callbacks.lead(term);
      if (!this.#isUnderWay(finish)) return recheck; // the work has ended the term
      this.#stopWatches.push(watchEventLoop());
      if (callbacks.isFollowerRunning) this.#awaitFollower(lose);
      if (settings.progressTimeoutMs !== undefined)
        this.#stopWatches.push(watchProgress(term, settings.progressTimeoutMs, () => lose('no-progress')));
      return recheck;
    });
  }

  async #tellUnused(term: LiveTerm): Promise<void> {
    const { report, election, callbacks, signal } = this.#tools;
    if (term.isUsed || this.electionChecks >= MANY_CHECKS || callbacks.isAnySet) return;
    const { isOver } = term;
    const checksBefore = this.electionChecks;
    await clock.sleep(UNUSED_MS, signal);
    const isKnown = term.isUsed || this.electionChecks > checksBefore || this.#isAsked;
    if (!signal.aborted && !isKnown && term.isOver === isOver) tellUnusedTerm(report, election, isOver);
  }

  /** Warns if `onLeaderChange` still runs after the end of the term. */
  #tellUnawaited({ isUsed }: LiveTerm): void {
    const { report, election, callbacks } = this.#tools;
    const isDriven = callbacks.isOnlyLeaderChange && !isUsed && this.electionChecks < MANY_CHECKS;
    if (isDriven && callbacks.changing > 0) tellUnawaited(report, election);
  }

  #tellUnasked(term: LiveTerm, reason: 'closed' | 'resigned'): void {
    const { report, election, callbacks } = this.#tools;
    if (!term.isUsed && this.electionChecks === 0 && !callbacks.isAnySet)
      tellUnaskedTerm(report, election, reason);
  }

  /** Ends the term if `onFollower`, for which the work waits, does not settle in time. */
  #awaitFollower(lose: (reason: LossCause) => void): void {
    const { callbacks, settings } = this.#tools;
    void callbacks.followerSettled(followerLimitMs(settings.drainTimeoutMs)).then((followed) => {
      if (!followed) lose('follower-stuck');
    });
  }

  /** Waits for the callbacks of the term, and then deletes the key. */
  async leave(state: Extract<CampaignState, { name: 'leaving' }>): Promise<void> {
    const { candidacy, reason, afterwards } = state;
    const { queueWatcher, leaderView, report } = this.#tools;
    this.#longWait.pause();
    const term = this.#term;
    if (term === undefined && candidacy !== undefined && afterwards === 'stand-again')
      report.lostPlace(candidacy, reason);
    if (term !== undefined) {
      const successor = queueWatcher.queue.firstOther(candidacy?.key ?? '');
      await stopWork(this.#tools, { term, reason, successor: leaderView.see(successor) });
    }
    await this.#deleteKey(candidacy);
    if (term !== undefined) this.#tellUnawaited(term);
    this.#term = undefined;
  }

  async #deleteKey(candidacy: Candidacy | undefined): Promise<void> {
    const { candidateKey, queueWatcher, report, keyPrefix } = this.#tools;
    try {
      // Also after an eviction: an operator may have detached the key from the lease, and then the key still exists.
      const released = await candidateKey.giveUp(queueWatcher.isDeleted(candidacy));
      if (released && this.#term !== undefined) report.released(this.#term);
    } catch (error) {
      if (!(error instanceof EtcdError)) throw error;
      report.releaseFailed(candidacy?.key ?? keyPrefix, error);
    }
  }

  /**
   * Waits for the first outcome. This method handles the end of the session and of the campaign. `begin` handles everything
   * else, and returns the function that checks the queue again.
   */
  #until(begin: (finish: Finish) => () => void): Promise<Outcome> {
    const { candidateKey, stopCause } = this.#tools;
    return new Promise((resolve) => {
      let offEnd: () => void = () => undefined;
      const finish: Finish = (reported) => {
        if (!this.#isUnderWay(finish)) return;
        this.#finish = undefined;
        this.#recheck = () => undefined;
        this.#orphanWatch?.look(undefined);
        this.#orphanWatch = undefined;
        offEnd();
        const reason = 'reason' in reported ? this.#correctedReason(reported.reason) : undefined;
        // The work must stop before anything else reacts.
        if (reason !== undefined) this.endTerm(reason);
        if (reason === 'deadline-passed' || reason === 'lease-lost') this.#tellLeaseLost();
        resolve(reported.type === 'lost' ? { type: 'lost', reason: reason as LossCause } : reported);
      };
      this.#finish = finish;
      const recheck = begin(finish);
      if (!this.#isUnderWay(finish)) return; // the wait or the term has already ended
      this.#recheck = recheck;
      offEnd = candidateKey.session!.onEnd((end) =>
        finish({ type: 'lost', reason: end === 'deadline-passed' ? end : 'lease-lost' }),
      );
      const reason = stopCause();
      if (reason !== undefined) finish({ type: 'stopped', reason });
    });
  }

  /**
   * Corrects the reason if the session is no longer valid. After a freeze, another event may come before the timer of the
   * deadline, although the deadline is the cause.
   */
  #correctedReason(reason: EndCause): EndCause {
    if (reason === 'lease-lost' || reason === 'refused') return reason;
    const { session } = this.#tools.candidateKey;
    return session?.isValid() === true ? reason : session?.isLost === true ? 'lease-lost' : 'deadline-passed';
  }

  endTerm(reason: EndCause): void {
    const term = this.#term;
    if (term === undefined) return;
    const isOver = term.isOver;
    term.end(reason);
    if (isOver) return;
    const { report, election, settings, leaderView, transport } = this.#tools;
    report.stalled(term, reason, settings.ttlSeconds * 1000);
    for (const stop of this.#stopWatches.splice(0)) stop();
    report.termEnded(term, reason);
    if (transport.isClosed) tellClosedClient(report, election, settings.ttlSeconds);
    leaderView.termOver();
    if (reason === 'closed' || reason === 'resigned') this.#tellUnasked(term, reason);
    else void this.#tellUnused(term);
  }

  #tellLeaseLost(): void {
    this.#tools.leaderView.leaseLost();
    for (const listener of this.#tools.leaseLosses) listener();
  }

  #stands(candidacy: Candidacy): boolean {
    return isStanding(this.#tools.queueWatcher.queue.get(candidacy.key), candidacy);
  }

  /** Checks our key in the answer to the read that confirms a renewal. It can show an eviction before the watch does. */
  checkOwnKey(candidacy: Candidacy | undefined, found: QueuedCandidate | undefined, revision: bigint): void {
    if (candidacy === undefined || revision < candidacy.createRevision) return; // the key was read before we entered
    if (!isStanding(found, candidacy)) this.finish({ type: 'lost', reason: 'evicted' });
  }
}
