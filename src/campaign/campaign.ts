/**
 * A campaign under way: one replica standing in one election, from `campaign()` until it is over.
 *
 * core/campaign-state says what can follow what; this does each state's one job and feeds the outcome back. Watch
 * events, a lost session, `resign()`: all they can do is end the job at hand with an outcome.
 */
import { RefusedError, type ElectionError } from '../errors.ts';
import {
  begin,
  next,
  type CampaignState,
  type Candidacy,
  type Origin,
  type Outcome,
  type StopCause,
} from '../core/campaign-state.ts';
import type { LeaseHolder } from '../client/session-pool.ts';
import { EtcdError, isFinal } from '../etcd/etcd-error.ts';
import type { Term } from '../term/term.ts';
import { sharedAbort } from '../util/abort.ts';
import { Deferred } from '../util/deferred.ts';
import { settle } from '../util/settle.ts';
import type { Callbacks } from './callbacks.ts';
import type { CampaignReport } from './campaign-report.ts';
import { endedError, type CampaignTools } from './campaign-tools.ts';
import type { Candidate } from '../core/candidate.ts';
import type { Place } from '../core/candidate-queue.ts';
import { CandidateKey } from './candidate-key.ts';
import { refusedError } from '../etcd/user-errors.ts';
import { LeaderView } from './leader-view.ts';
import { QueueWatcher } from './queue-watcher.ts';
import { Refusal } from './refusal.ts';
import { RoundGuard } from './round-guard.ts';
import { Turn } from './turn.ts';
import { ValuePublisher } from './value-publisher.ts';

/** How a campaign begins. */
export interface CampaignStart {
  readonly value: string;
  readonly calledFrom: readonly string[];
  /** What must have settled before this campaign calls back. */
  readonly after: Promise<void> | undefined;
  /** Gives up if another candidate stands already. */
  readonly ifFree: boolean;
}

export class Campaign {
  readonly #tools: CampaignTools;
  readonly #report: CampaignReport;
  readonly #start: CampaignStart;
  readonly #guard: RoundGuard;
  readonly #queueWatcher: QueueWatcher;
  readonly #leaderView: LeaderView;
  readonly #holder: LeaseHolder;
  readonly #candidateKey: CandidateKey;
  readonly #value: ValuePublisher;
  /** What etcd refuses to us although we have stood. */
  readonly #refusal: Refusal;
  #hasStood = false;
  readonly #stop = sharedAbort();
  #stopped: { reason: StopCause; error: ElectionError } | undefined;
  #state: CampaignState = begin();
  /** The wait for our turn, and the term. */
  readonly turn: Turn;
  /** For callers that wait until the key is deleted; made with the first of them. */
  #left: Deferred<void> | undefined;
  /** For callers that wait until no callback of an earlier term is in the way; made with the first of them. */
  #ready: Deferred<void> | undefined;
  /** Whether it gave up because another candidate stood already. */
  isTaken = false;
  /** The callbacks that it calls. */
  readonly callbacks: Callbacks;
  /** Resolves when the campaign is over in etcd; the last callback may still be under way. */
  readonly ended: Promise<void>;
  /** Resolves when the last callback has settled too. */
  readonly settled: Promise<void>;

  constructor(tools: CampaignTools, callbacks: Callbacks, start: CampaignStart) {
    const { electionKeys, report, sessions, settings, eventLog } = tools;
    this.#tools = tools;
    this.#report = report;
    this.#start = start;
    this.callbacks = callbacks;
    this.#guard = new RoundGuard(tools, start.calledFrom);
    this.#refusal = new Refusal(tools.refusalBackoff, (reason, forMs) => report.refused(reason, forMs));
    this.#candidateKey = new CandidateKey(tools);
    this.#holder = {
      electionKeys,
      onOwnKey: (found, revision) => this.turn.checkOwnKey(this.#candidacy, found, revision),
    };
    this.#queueWatcher = new QueueWatcher(tools, {
      isLeaderWanted: callbacks.isLeaderWanted,
      onChange: () => {
        this.turn.recheck();
        this.#leaderView.tellChange();
        this.#value.check();
      },
      onRefused: (fault) => this.#refuse(fault),
      onDoubt: () => this.#leaderView.tellChange(),
    });
    this.#leaderView = new LeaderView(this.#queueWatcher, callbacks, report);
    this.#value = new ValuePublisher(tools, start.value, {
      signal: this.#stop.signal,
      candidacy: () => this.#candidacy,
      shown: () => this.#candidacy && this.#queueWatcher.queue.get(this.#candidacy.key)?.value,
      onPublished: (value) => {
        if (this.turn.term !== undefined) this.turn.term.value = value;
      },
    });
    this.turn = new Turn({
      ...tools,
      candidateKey: this.#candidateKey,
      queueWatcher: this.#queueWatcher,
      leaderView: this.#leaderView,
      value: this.#value,
      callbacks,
      signal: this.#stop.signal,
      stopCause: () => this.#stopped?.reason,
      resign: () => this.#resign(),
    });
    const leavePlace = eventLog.begin(() => this.turn.tellExit());
    sessions.join(this.#holder, settings.marginMs, eventLog, settings.lastWill);
    this.ended = this.#run();
    this.settled = this.ended.then(() => start.after).then(() => this.#lastCallbacks());
    void this.ended.then(leavePlace);
  }

  /** The term at hand, or else the next one; rejects when the campaign ends before there is one. */
  term(): Promise<Term> {
    if (this.#stopped === undefined) return this.turn.next();
    const over = new Deferred<Term>();
    over.reject(this.#stopped.error);
    return over.promise;
  }

  get state(): Exclude<CampaignState['name'], 'settling'> {
    const { name } = this.#state;
    return name === 'settling' ? 'leaving' : name;
  }

  /** Resolves when no callback of an earlier term is in the way any more; undefined if none is. */
  get ready(): Promise<void> | undefined {
    const { name } = this.#state;
    const isEnding = name === 'leaving' || this.turn.term?.isOver === true;
    const isSettling = name === 'settling' && (this.#state.isAfterTerm || this.#start.after !== undefined);
    const isInTheWay = isSettling || (isEnding && this.#stopped === undefined);
    return isInTheWay ? (this.#ready ??= new Deferred()).promise : undefined;
  }

  /** Undefined while nothing is known. */
  get leader(): Candidate | undefined {
    const { term } = this.turn;
    return this.#candidacy === undefined || term?.isOver === true ? undefined : this.#leaderView.leader(term);
  }

  /** Whether our lease has run out, by the clock, and we have not entered anew since. */
  get isLeaseLost(): boolean {
    const { term } = this.turn;
    return this.#leaderView.isLeaseLost || (term?.isOver === false && term.leftMs <= 0);
  }

  /** Key of our last candidacy; undefined before the first. */
  get ownKey(): string | undefined {
    return this.#leaderView.ownKey;
  }

  /** Our place in the queue; undefined while we are not in it. */
  get place(): Place | undefined {
    return this.#candidacy && this.#queueWatcher.queue.place(this.#candidacy);
  }

  /** Our candidacy, while we wait or lead. */
  get #candidacy(): Candidacy | undefined {
    const state = this.#state;
    return state.name === 'waiting' || state.name === 'leading' ? state.candidacy : undefined;
  }

  /** What etcd refuses to us; undefined while it permits. */
  get refusal(): string | undefined {
    const ended = this.#stopped?.reason === 'refused' ? this.#stopped.error.message : undefined;
    return ended ?? this.#refusal.reason;
  }

  /** Whether the campaign has been told to end. */
  get isStopping(): boolean {
    return this.#stopped !== undefined;
  }

  /** Ends the campaign for good; the job at hand learns of it at once. Only the first cause counts. */
  stop(reason: StopCause, error: ElectionError): void {
    if (this.#stopped !== undefined) return;
    this.#stopped = { reason, error };
    this.turn.finish({ type: 'stopped', reason });
    this.#stop.abort(error); // without a reason it makes one, with a stack trace, on the way to the release
  }

  /** Ends the term, if there is one, and stands again at the back of the queue. @returns when the key is given up. */
  stepDown(): Promise<void> {
    if (this.#state.name !== 'leading') return Promise.resolve();
    const { promise } = (this.#left ??= new Deferred());
    this.turn.finish({ type: 'lost', reason: 'stepped-down' });
    return promise;
  }

  /** Announces another value from now on. */
  announce(value: string): void {
    this.#value.want(value);
  }

  async #run(): Promise<void> {
    try {
      while (this.#state.name !== 'ended') {
        const outcome = await this.#perform(this.#state);
        this.#state = next(this.#state, outcome);
        if (this.#state.name === 'held' || this.#state.name === 'ended') this.#tellReady();
      }
    } catch (bug) {
      this.#failSafe(bug);
    }
    const { reason, error } = this.#stopped!;
    await this.#guard.end();
    this.#report.campaignEnded(reason, error);
    this.#queueWatcher.close();
    await this.#tools.sessions.leave(this.#holder);
    this.turn.end(error);
  }

  #perform(state: Exclude<CampaignState, { name: 'ended' }>): Promise<Outcome> {
    if (state.name !== 'leaving' && this.#stopped !== undefined)
      return Promise.resolve({ type: 'stopped', reason: this.#stopped.reason });
    switch (state.name) {
      case 'settling':
        return this.#settleCallbacks(state.isAfterTerm);
      case 'held':
        return this.#passGuard(state.origin);
      case 'entering':
        return this.#enter();
      case 'waiting':
        return this.turn.wait(state.candidacy);
      case 'leading':
        return this.turn.serve(state.candidacy);
      case 'leaving':
        return this.#leave(state);
    }
  }

  /** Work that ignores its signal is not started a second time: we stand again when it has settled. */
  async #settleCallbacks(isAfterTerm: boolean): Promise<Outcome> {
    const { callbacks } = this;
    if (this.#start.after !== undefined) await this.#orStopped(this.#start.after);
    if (isAfterTerm && this.#stopped === undefined) {
      await this.#orStopped(callbacks.workSettled());
      if (this.#stopped === undefined) callbacks.followIfDue(this.#stop.signal);
      await this.#orStopped(callbacks.settled());
    }
    return this.#stoppedOr({ type: 'settled' });
  }

  #tellReady(): void {
    this.#ready?.resolve();
    this.#ready = undefined;
  }

  async #passGuard(origin: Origin): Promise<Outcome> {
    await this.#guard.pass(origin, this.#stop.signal);
    return this.#stoppedOr({ type: 'released' });
  }

  /** At the very start it ends the campaign: the configuration is wrong. Later it is an outage. */
  #refuse(fault: EtcdError): void {
    if (!this.#hasStood || fault.kind === 'client-closed')
      return this.stop('refused', refusedError(this.#tools.election, fault));
    this.#refusal.note(fault);
    this.turn.finish({ type: 'lost', reason: 'refused' });
  }

  async #enter(): Promise<Outcome> {
    await this.#refusal.pass(this.#stop.signal);
    if (this.#stopped !== undefined) return this.#stoppedOr({ type: 'failed' });
    try {
      const entry = await this.#candidateKey.take(() => this.#value.value, this.#stop.signal);
      const { candidacy } = entry;
      this.#leaderView.entered(candidacy.key);
      this.#value.entered(this.#value.value);
      const isFirst = !this.#hasStood;
      this.#hasStood = true;
      this.#refusal.over();
      this.#queueWatcher.start(entry, this.#candidateKey.session!.ttlMs);
      this.#guard.entered();
      if (isFirst) void this.turn.tellSharedValue(candidacy);
      const { position } = this.#queueWatcher.queue.place(candidacy);
      this.#report.entered(candidacy, position);
      this.#leaderView.tellChange();
      if (this.#start.ifFree && position > 1) {
        this.isTaken = true;
        this.#resign();
      }
      return { type: 'entered', candidacy };
    } catch (error) {
      if (!(error instanceof EtcdError)) throw error;
      if (isFinal(error)) this.#refuse(error);
      else if (this.#stopped === undefined) this.#report.enterFailed(error);
      return this.#stoppedOr({ type: 'failed' });
    }
  }

  #resign(): void {
    this.stop('resigned', endedError(this.#tools.election, 'resigned'));
  }

  async #leave(state: Extract<CampaignState, { name: 'leaving' }>): Promise<Outcome> {
    this.#guard.stop();
    await this.turn.leave(state);
    this.#queueWatcher.stop();
    this.#left?.resolve();
    this.#left = undefined;
    return { type: 'left' };
  }

  async #lastCallbacks(): Promise<void> {
    await this.callbacks.settled();
    this.callbacks.followIfDue(this.#stop.signal);
    await this.callbacks.settled();
  }

  #stoppedOr(outcome: Outcome): Outcome {
    return this.#stopped === undefined ? outcome : { type: 'stopped', reason: this.#stopped.reason };
  }

  /** Resolves with the promise, or when the campaign must end. No listener stays after a term. */
  #orStopped(promise: Promise<void>): Promise<void> {
    return settle(promise, { signal: this.#stop.signal }, () => undefined);
  }

  /** A bug of ours, never the world's doing. Whatever it was, we must not go on acting as leader. */
  #failSafe(bug: unknown): void {
    const { election } = this.#tools;
    this.stop(
      'refused',
      new RefusedError(election, `a bug in etcd-election: ${String(bug)}`, { cause: bug }),
    );
    this.turn.endTerm('refused');
    this.#queueWatcher.close();
    this.#guard.stop();
    this.#state = { name: 'ended', reason: 'refused' };
    this.#tellReady();
  }
}
