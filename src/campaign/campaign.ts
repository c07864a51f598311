/**
 * One campaign of one replica, from `campaign()` until it has ended.
 *
 * This class does the job of each state, and core/campaign-state decides which state follows. A watch event, a lost session or
 * `resign()` only ends the present job. It never sets the next state.
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
import { nextTurn } from '../util/clock.ts';
import { Deferred } from '../util/deferred.ts';
import { settle } from '../util/settle.ts';
import type { Callbacks } from './callbacks.ts';
import { endedError, type CampaignStart, type CampaignTools } from './campaign-tools.ts';
import type { Candidate } from '../core/candidate.ts';
import type { Place } from '../core/candidate-queue.ts';
import { CandidateKey } from './candidate-key.ts';
import { refusedError } from '../etcd/user-errors.ts';
import { LeaderView } from './leader-view.ts';
import { QueueWatcher } from './queue-watcher.ts';
import { Refusal } from './refusal.ts';
import { RoundGuard } from './round-guard.ts';
import { Turn } from './turn.ts';
import { turnTools } from './turn-tools.ts';
import { waitForEarlier } from './unusual-usage.ts';
import { ValuePublisher } from './value-publisher.ts';

export class Campaign {
  readonly #tools: CampaignTools;
  readonly #start: CampaignStart;
  readonly #guard: RoundGuard;
  readonly #queueWatcher: QueueWatcher;
  readonly #leaderView: LeaderView;
  readonly #holder: LeaseHolder;
  readonly #candidateKey: CandidateKey;
  readonly #value: ValuePublisher;
  /** etcd's refusal after we have been in the queue. */
  readonly #refusal: Refusal;
  #hasStood = false;
  readonly #stop = sharedAbort();
  #stopped: { reason: StopCause; error: ElectionError } | undefined;
  #state: CampaignState = begin();
  readonly turn: Turn;
  /** For callers that wait until the key is deleted, or the delete has failed. */
  #left: Deferred<void> | undefined;
  /** For callers that wait for callbacks of an earlier term. */
  #ready: Deferred<void> | undefined;
  /** Set if the campaign ended because there was another candidate already. */
  skippedFor: { readonly leader: string } | undefined;
  readonly callbacks: Callbacks;
  /** Resolves when the campaign has ended, and has deleted its key or tried to. The last callback may still run. */
  readonly ended: Promise<void>;

  constructor(tools: CampaignTools, callbacks: Callbacks, start: CampaignStart) {
    const { keyPrefix, report, sessions, settings, eventLog } = tools;
    this.#tools = tools;
    this.#start = start;
    this.callbacks = callbacks;
    this.#guard = new RoundGuard(tools, start.calledFrom);
    this.#refusal = new Refusal(tools.refusalBackoff, (reason, forMs) => report.refused(reason, forMs));
    this.#candidateKey = new CandidateKey(tools);
    this.#holder = {
      keyPrefix,
      isRefused: () => (this.#refusal.reason ?? this.refusal) !== undefined,
      mayHaveKey: () => this.#candidateKey.mayExist,
      onOwnKey: (found, revision) => this.turn.checkOwnKey(this.#candidacy, found, revision),
      // Without a candidacy, the next entry shows whether etcd permits us.
      onOwnKeyDenied: (fault) => void (this.#candidacy !== undefined && this.#refuse(fault)),
    };
    this.#queueWatcher = this.#newQueueWatcher();
    this.#leaderView = new LeaderView(this.#queueWatcher, callbacks, report);
    this.#value = new ValuePublisher(tools, start.value, {
      signal: this.#stop.signal,
      candidacy: () => this.#candidacy,
      shown: () => this.#candidacy && this.#queueWatcher.queue.get(this.#candidacy.key)?.value,
      onPublished: (value) => {
        if (this.turn.term !== undefined) this.turn.term.value = value;
      },
    });
    const ofTurn = turnTools(tools, {
      candidateKey: this.#candidateKey,
      queueWatcher: this.#queueWatcher,
      leaderView: this.#leaderView,
      value: this.#value,
      callbacks,
      stopCause: () => this.#stopped?.reason,
      resign: () => this.#resign(),
      skip: start.ifFree ? (leader) => this.#resign({ leader }) : undefined,
      signal: this.#stop.signal,
    });
    this.turn = new Turn(ofTurn);
    const endLog = eventLog.begin(() => this.turn.tellExit());
    sessions.join(this.#holder, settings.marginMs, eventLog, settings.lastWill);
    this.ended = this.#run();
    void this.ended.then(endLog);
  }

  #newQueueWatcher(): QueueWatcher {
    return new QueueWatcher(this.#tools, {
      isLeaderWanted: this.callbacks.isLeaderWanted,
      onChange: () => {
        this.turn.recheck();
        this.#leaderView.tellChange();
        this.#value.check();
      },
      onRefused: (fault) => this.#refuse(fault),
      onDoubt: () => this.#leaderView.tellChange(),
    });
  }

  /** The present or the next term. Rejects if the campaign ends before there is one. */
  term(): Promise<Term> {
    if (this.#stopped === undefined) return this.turn.next();
    const over = new Deferred<Term>();
    over.reject(this.#stopped.error);
    return over.promise;
  }

  get state(): Exclude<CampaignState['name'], 'settling'> {
    const { name } = this.#state;
    if (name !== 'settling') return name;
    return this.#state.isAfterTerm || this.#start.after !== undefined ? 'leaving' : 'entering';
  }

  /** Resolves when no callback of an earlier term delays us any more; undefined if none delays us now. */
  get ready(): Promise<void> | undefined {
    const { name } = this.#state;
    const { term } = this.turn;
    const isEnding = name === 'leaving' || (term !== undefined && term.leftMs <= 0);
    const isSettling = name === 'settling' && this.state === 'leaving';
    const isDelayed = isSettling || (isEnding && this.#stopped === undefined);
    return isDelayed ? (this.#ready ??= new Deferred()).promise : undefined;
  }

  /** The leader; undefined if there is none, or if it is unknown. */
  get leader(): Candidate | undefined {
    const { term } = this.turn;
    return this.#candidacy === undefined || term?.isOver === true ? undefined : this.#leaderView.leader(term);
  }

  /** Whether our lease has run out by the clock, and we have not entered again since. */
  get isLeaseLost(): boolean {
    const { term } = this.turn;
    return this.#leaderView.isLeaseLost || (term?.isOver === false && term.leftMs <= 0);
  }

  get ownKey(): string | undefined {
    return this.#leaderView.ownKey;
  }

  /** Our place in the queue; undefined if we are not in it. */
  get place(): Place | undefined {
    return this.#candidacy && this.#queueWatcher.queue.place(this.#candidacy);
  }

  /** Our candidacy, while we wait or lead. */
  get #candidacy(): Candidacy | undefined {
    const state = this.#state;
    return state.name === 'waiting' || state.name === 'leading' ? state.candidacy : undefined;
  }

  /**
   * The present refusal by etcd, the lasting rejection of a certificate, or the refusal that ended the campaign. Otherwise
   * undefined.
   */
  get refusal(): string | undefined {
    if (this.#stopped === undefined) return this.#refusal.reason ?? this.#tools.sessions.certificateRejection;
    return this.#stopped.reason === 'refused' ? this.#stopped.error.message : undefined;
  }

  get isStopping(): boolean {
    return this.#stopped !== undefined;
  }

  /** Ends the present job at once, and then the campaign. Only the first cause counts. */
  stop(reason: StopCause, error: ElectionError): void {
    if (this.#stopped !== undefined) return;
    this.#stopped = { reason, error };
    this.turn.finish({ type: 'stopped', reason });
    const abort = (): void => this.#stop.abort(error); // without an argument, abort() would create an error with a stack trace
    if (this.#state.name !== 'leading') abort();
    else nextTurn(abort); // one turn later, so that the delete of the key can be sent first
  }

  /** Waits for the callbacks of the last term, and calls `onFollower` if it is still due. */
  finish(): Promise<void> {
    return this.callbacks.finish(this.#stop.signal);
  }

  /**
   * Ends the term, if there is one, and enters again at the end of the queue. Resolves when the key is deleted, or the
   * delete has failed.
   */
  stepDown(): Promise<void> {
    if (this.#state.name !== 'leading') return Promise.resolve();
    const { promise } = (this.#left ??= new Deferred());
    this.turn.finish({ type: 'lost', reason: 'stepped-down' });
    return promise;
  }

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
      await this.#failSafe(bug);
    }
    const { reason, error } = this.#stopped!;
    await this.#guard.end();
    if (this.skippedFor === undefined) this.#tools.report.campaignEnded(reason, error);
    else this.#tools.report.skipped(this.skippedFor.leader);
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
        this.#value.announce();
        return this.turn.wait(state.candidacy);
      case 'leading':
        return this.turn.serve(state.candidacy);
      case 'leaving':
        return this.#leave(state);
    }
  }

  /** Waits for callbacks that still run, so that work never runs twice at once. */
  async #settleCallbacks(isAfterTerm: boolean): Promise<Outcome> {
    const { after } = this.#start;
    if (after?.isSettled === false) await waitForEarlier(this.#tools, after, this.#stop.signal);
    if (isAfterTerm && this.#stopped === undefined) await this.#orStopped(this.finish());
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

  /** A refusal before the first entry, and a closed client, end the campaign. A later refusal counts as an outage. */
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
      this.#value.entered(entry.value);
      const isFirst = !this.#hasStood;
      this.#hasStood = true;
      this.#refusal.over();
      const session = this.#candidateKey.session!;
      this.#queueWatcher.start(entry, session.ttlMs);
      this.#guard.entered(session);
      if (isFirst) void this.turn.tellSharedValue(candidacy);
      this.#tools.report.entered(candidacy, this.#queueWatcher.queue.place(candidacy).position);
      this.#leaderView.tellChange();
      return { type: 'entered', candidacy };
    } catch (error) {
      if (!(error instanceof EtcdError)) throw error;
      if (isFinal(error)) {
        this.#refuse(error);
        await this.#tools.sessions.closeUnusable();
      } else if (this.#stopped === undefined) this.#tools.report.enterFailed(error);
      return this.#stoppedOr({ type: 'failed' });
    }
  }

  #resign(skippedFor?: { readonly leader: string }): void {
    this.skippedFor ??= skippedFor;
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

  #stoppedOr(outcome: Outcome): Outcome {
    return this.#stopped === undefined ? outcome : { type: 'stopped', reason: this.#stopped.reason };
  }

  /** Resolves with the promise, or when the campaign must end. */
  #orStopped(promise: Promise<void>): Promise<void> {
    return settle(promise, { signal: this.#stop.signal }, () => undefined);
  }

  /** Ends the campaign after a bug of this library: we must not continue to act as leader. */
  async #failSafe(bug: unknown): Promise<void> {
    const message = `a bug in etcd-election: ${String(bug)}`;
    this.stop('refused', new RefusedError(this.#tools.election, message, { cause: bug }));
    this.turn.endTerm('refused');
    this.turn.endWait();
    this.#queueWatcher.close();
    this.#guard.stop();
    await this.#candidateKey.giveUp(false).catch(() => undefined); // the session repeats the delete
    this.#left?.resolve();
    this.#state = { name: 'ended', reason: 'refused' };
    this.#tellReady();
  }
}
