/**
 * Our turn in the queue: the wait for it, and the term. Both last until an event ends them, with an outcome: a watch
 * event, the end of the session, the work, or the end of the campaign.
 */
import type {
  CampaignState,
  Candidacy,
  EndCause,
  LossCause,
  Outcome,
  StopCause,
} from '../core/campaign-state.ts';
import { isStanding, type Candidate as Queued } from '../core/candidate-queue.ts';
import type { ElectionError } from '../errors.ts';
import { EtcdError } from '../etcd/etcd-error.ts';
import type { LiveTerm } from '../term/live-term.ts';
import type { Term } from '../term/term.ts';
import { clock } from '../util/clock.ts';
import { Deferred } from '../util/deferred.ts';
import { watchLoop } from '../util/event-loop-stall.ts';
import type { Callbacks } from './callbacks.ts';
import type { CampaignTools } from './campaign-tools.ts';
import type { CandidateKey } from './candidate-key.ts';
import type { LeaderView } from './leader-view.ts';
import type { QueueWatcher } from './queue-watcher.ts';
import { stopWork } from './term-end.ts';
import { newTerm, watchProgress } from './term-start.ts';
import { tellExit, tellSharedValue, tellUnusedTerm } from './unusual-usage.ts';
import type { ValuePublisher } from './value-publisher.ts';

/** A caller that waits this long in `campaign()` gets one log line that says for what, in milliseconds. */
const LONG_WAIT_MS = 5_000;

/** A program that uses a term does so within this time, in milliseconds. */
const UNUSED_MS = 2_000;

type Finish = (outcome: Outcome) => void;

/** What our turn needs of its campaign. */
export interface TurnTools extends CampaignTools {
  readonly candidateKey: CandidateKey;
  readonly queueWatcher: QueueWatcher;
  readonly leaderView: LeaderView;
  readonly value: ValuePublisher;
  readonly callbacks: Callbacks;
  /** Why the campaign was told to end; undefined while it goes on. */
  readonly stopCause: () => StopCause | undefined;
  readonly resign: () => void;
  /** Aborts when the campaign is told to end. */
  readonly signal: AbortSignal;
}

export class Turn {
  readonly #tools: TurnTools;
  #term: LiveTerm | undefined;
  #nextTerm = new Deferred<Term>();
  #isWaitTold = false;
  /** Whether a caller asked for a term since the last one began. */
  #isAsked = false;
  /** Whether the program asks the election who leads: then it need not ask the term. */
  isLookedAt = false;
  /** Whether another candidate was before us. */
  hasWaited = false;
  /** Election whose work awaits our term. */
  awaitedBy: string | undefined;
  /** Ends the wait or the term at hand; undefined outside of both. */
  #finish: Finish | undefined;
  /** Rechecks the queue: for our turn while we wait, for an eviction while we lead. */
  #recheck: () => void = () => undefined;
  #offLoop: () => void = () => undefined;

  constructor(tools: TurnTools) {
    this.#tools = tools;
  }

  /** The present term; the last one until its key is given up. */
  get term(): LiveTerm | undefined {
    return this.#term;
  }

  /** The queue may have changed. */
  recheck(): void {
    this.#recheck();
  }

  /** Ends what is at hand. Only the first outcome counts. */
  finish(outcome: Outcome): void {
    this.#finish?.(outcome);
  }

  /** The present term, or else the next one; rejects when the campaign ends before there is one. */
  next(): Promise<Term> {
    this.#isAsked = true;
    return this.#term?.isOver === false ? Promise.resolve(this.#term) : this.#nextTerm.promise;
  }

  /** There is no next term, and this is why. */
  end(error: ElectionError): void {
    this.#nextTerm.reject(error);
  }

  /** Waits until we lead. */
  wait(candidacy: Candidacy): Promise<Outcome> {
    const { candidateKey, queueWatcher, leaderView, callbacks, signal } = this.#tools;
    return this.#until((finish) => {
      const recheck = (): void => {
        if (!this.#stands(candidacy)) finish({ type: 'lost', reason: 'evicted' });
        else if (candidateKey.session?.isValid() !== true)
          finish({ type: 'lost', reason: 'deadline-passed' });
        else if (queueWatcher.queue.olderThan(candidacy) === 0) finish({ type: 'elected' });
      };
      recheck();
      if (this.#finish === finish) {
        callbacks.follow(leaderView.see(queueWatcher.queue.leader), signal);
        this.hasWaited = true;
        void this.#tellLongWait(candidacy, finish);
      }
      return recheck;
    });
  }

  /** The process exits. */
  tellExit(): void {
    const { report, election, settings } = this.#tools;
    if (this.#term !== undefined && !settings.lastWill) tellExit(report, election, settings.ttlSeconds);
  }

  tellSharedValue({ key }: Candidacy): Promise<void> {
    const { report, election, queueWatcher, candidateKey, signal } = this.#tools;
    const { ttlMs } = candidateKey.session!;
    return tellSharedValue(report, election, queueWatcher, { ownKey: key, ttlMs, signal });
  }

  async #tellLongWait(candidacy: Candidacy, finish: Finish): Promise<void> {
    const { queueWatcher, leaderView, report, signal } = this.#tools;
    if (this.#isWaitTold) return;
    await clock.sleep(LONG_WAIT_MS, signal);
    if (this.#isWaitTold || this.#finish !== finish) return;
    this.#isWaitTold = true;
    const { position } = queueWatcher.queue.place(candidacy);
    report.waitsForLong(position, leaderView.leader(undefined)?.value, LONG_WAIT_MS, this.awaitedBy);
  }

  /** Leads until the term ends. */
  serve(candidacy: Candidacy): Promise<Outcome> {
    const { settings, transport, report, callbacks } = this.#tools;
    return this.#until((finish) => {
      const lose = (reason: LossCause): void => finish({ type: 'lost', reason });
      const term = newTerm(this.#tools, candidacy, lose);
      this.#term = term;
      report.termStarted(term, transport.clusterId);
      const recheck = (): void => {
        if (!this.#stands(candidacy)) lose('evicted');
        else if (term.leftMs <= 0) lose('deadline-passed');
      };
      if (this.#finish !== finish) return recheck; // a subscriber of diagnostics_channel has ended it
      this.#nextTerm.resolve(term);
      this.#nextTerm = new Deferred();
      if (!this.#isAsked) void this.#tellUnused(term);
      this.#isAsked = false;
      recheck(); // a message may have come since we were elected
      if (this.#finish !== finish) return recheck;
      callbacks.lead(term);
      if (this.#finish !== finish) return recheck; // the work has ended its own term
      this.#offLoop = watchLoop();
      if (callbacks.isFollowing) this.#awaitFollower(lose);
      if (settings.progressTimeoutMs !== undefined)
        watchProgress(term, settings.progressTimeoutMs, () => lose('no-progress'));
      return recheck;
    });
  }

  /** Nothing has asked for this term, or it is over: a program that has its work from `campaign()` may not know. */
  async #tellUnused(term: LiveTerm): Promise<void> {
    const { report, election, callbacks, signal } = this.#tools;
    if (term.isUsed || this.isLookedAt || callbacks.isAnySet) return;
    const { isOver } = term;
    await clock.sleep(UNUSED_MS, signal);
    const isKnown = term.isUsed || this.isLookedAt || this.#isAsked;
    if (!signal.aborted && !isKnown && term.isOver === isOver) tellUnusedTerm(report, election, isOver);
  }

  /** The work cannot begin before `onFollower` has settled: a leader that does not work gives up its key. */
  #awaitFollower(lose: (reason: LossCause) => void): void {
    const { callbacks, settings } = this.#tools;
    void callbacks.followed(settings.drainTimeoutMs).then((followed) => {
      if (!followed) lose('follower-stuck');
    });
  }

  /** Stops the work, waits for it, calls `onFollower`, waits for it, and only then deletes the key. */
  async leave(state: Extract<CampaignState, { name: 'leaving' }>): Promise<void> {
    const { candidacy, reason, afterwards } = state;
    const { queueWatcher, leaderView, report } = this.#tools;
    const term = this.#term;
    if (term === undefined && candidacy !== undefined && afterwards === 'stand-again')
      report.lostPlace(candidacy, reason);
    if (term !== undefined) {
      const successor = queueWatcher.queue.firstBeside(candidacy?.key ?? '');
      await stopWork(this.#tools, { term, reason, successor: leaderView.see(successor) });
    }
    await this.#deleteKey(candidacy);
    this.#term = undefined;
  }

  async #deleteKey(candidacy: Candidacy | undefined): Promise<void> {
    const { candidateKey, queueWatcher, report, electionKeys } = this.#tools;
    try {
      // A lost key too: if an operator took it off its lease, it would stay for ever.
      const released = await candidateKey.giveUp(candidacy, queueWatcher.isDeleted(candidacy));
      if (released && this.#term !== undefined) report.released(this.#term);
    } catch (error) {
      if (!(error instanceof EtcdError)) throw error;
      report.releaseFailed(candidacy?.key ?? electionKeys, error);
    }
  }

  /**
   * Waits for an outcome; the first one counts. The end of the session and of the campaign are handled here. `begin`
   * adds the rest, and returns its recheck of the queue.
   */
  #until(begin: (finish: Finish) => () => void): Promise<Outcome> {
    const { candidateKey, stopCause } = this.#tools;
    return new Promise((resolve) => {
      let offEnd: () => void = () => undefined;
      const finish: Finish = (reported) => {
        if (this.#finish !== finish) return;
        this.#finish = undefined;
        this.#recheck = () => undefined;
        offEnd();
        const reason = 'reason' in reported ? this.#byTheClock(reported.reason) : undefined;
        // Before anything else learns of it: the work must stop first.
        if (reason !== undefined) this.endTerm(reason);
        if (reason === 'deadline-passed' || reason === 'lease-lost') this.#tellLeaseLost();
        resolve(reported.type === 'lost' ? { type: 'lost', reason: reason as LossCause } : reported);
      };
      this.#finish = finish;
      const recheck = begin(finish);
      if (this.#finish !== finish) return; // over already
      this.#recheck = recheck;
      offEnd = candidateKey.session!.onEnd((end) =>
        finish({ type: 'lost', reason: end === 'deadline-passed' ? end : 'lease-lost' }),
      );
      const reason = stopCause();
      if (reason !== undefined) finish({ type: 'stopped', reason });
    });
  }

  /**
   * After a freeze, other things may tell of the end before the timer of the deadline does: work that saw it, or an
   * eviction. The deadline is the cause.
   */
  #byTheClock(reason: EndCause): EndCause {
    if (reason === 'lease-lost' || reason === 'refused') return reason;
    return this.#tools.candidateKey.session?.isValid() === true ? reason : 'deadline-passed';
  }

  endTerm(reason: EndCause): void {
    const term = this.#term;
    if (term === undefined) return;
    const isOver = term.isOver;
    term.end(reason);
    if (isOver) return;
    const { report, settings } = this.#tools;
    report.stalled(term, reason, settings.ttlSeconds * 1000);
    this.#offLoop();
    this.#offLoop = () => undefined;
    report.termEnded(term, reason);
    void this.#tellUnused(term);
  }

  #tellLeaseLost(): void {
    this.#tools.leaderView.leaseLost();
    for (const listener of this.#tools.leaseLosses) listener();
  }

  #stands(candidacy: Candidacy): boolean {
    return isStanding(this.#tools.queueWatcher.queue.get(candidacy.key), candidacy);
  }

  /** The read that confirms a renewal shows our key too: the watch may not have told of an eviction yet. */
  checkOwnKey(candidacy: Candidacy | undefined, found: Queued | undefined, revision: bigint): void {
    if (candidacy === undefined || revision < candidacy.createRevision) return; // it was read before we entered
    if (!isStanding(found, candidacy)) this.finish({ type: 'lost', reason: 'evicted' });
  }
}
