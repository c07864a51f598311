/**
 * A campaign under way: one replica standing in one election, from `campaign()` until it is over.
 *
 * core/campaign-state says what can follow what; this does each state's one job and feeds the outcome back. Watch
 * events, a lost session, `resign()`: all they can do is end the job at hand with an outcome.
 */
import { sharedAbort } from '../util/abort.ts';
import type { Callbacks } from './callbacks.ts';
import type { CampaignReport } from './campaign-report.ts';
import {
  begin,
  next,
  type CampaignState,
  type Candidacy,
  type EndCause,
  type Origin,
  type Outcome,
  type StopCause,
} from '../core/campaign-state.ts';
import { seen, type Candidate } from './candidate.ts';
import type { Candidate as Queued } from '../core/candidate-queue.ts';
import { Deferred } from '../util/deferred.ts';
import { EtcdError, isFinal } from '../etcd/etcd-error.ts';
import type { EtcdTransport } from '../etcd/transport.ts';
import type { SharedWatch } from '../etcd/watch.ts';
import { RefusedError, type ElectionError } from '../errors.ts';
import { refusedError } from './etcd-to-user-errors.ts';
import type { CallLimiter } from '../loop-guard/call-limits.ts';
import type { LoopGuard } from '../loop-guard/loop-guard.ts';
import type { RefusalBackoff } from '../client/refusal-backoff.ts';
import { followerLimitMs } from '../core/health.ts';
import type { Settings } from '../options.ts';
import type { EventLog } from '../logging/event-log.ts';
import { Refusal } from './refusal.ts';
import { QueueWatcher } from './queue-watcher.ts';
import { CandidateKey } from './candidate-key.ts';
import type { LeaseHolder, SessionPool } from '../client/session-pool.ts';
import { watchLoop } from '../util/event-loop-stall.ts';
import { LiveTerm, type Term, type TermLife } from '../term/term.ts';
import { stopWork } from './term-end.ts';
import { TermWriter } from '../term/term-writer.ts';
import { after, clock } from '../util/clock.ts';
import { settle } from '../util/settle.ts';
import { ValuePublisher } from './value-publisher.ts';

/** What a campaign needs of the rest of the house. */
export interface CampaignTools {
  readonly election: string;
  /** Prefix of all candidates' keys. */
  readonly electionKeys: string;
  readonly settings: Settings;
  readonly transport: EtcdTransport;
  readonly sharedWatch: SharedWatch;
  readonly sessions: SessionPool;
  readonly refusalBackoff: RefusalBackoff;
  readonly guard: LoopGuard;
  /**
   * Guards that few elections ever need, found or made when they are needed: `quits` is passed by campaigns that are
   * given up before the guard let them go, else giving up would be a way round it; `announcements` by every value
   * that is announced within a term or a wait.
   */
  guardOf(what: 'quits' | 'announcements'): LoopGuard;
  /** What the calls of a term pass. */
  readonly callers: CallLimiter;
  readonly eventLog: EventLog;
  readonly report: CampaignReport;
  /** What those are told who still wait for a term when the campaign is ended by us. */
  endedError(reason: StopCause): ElectionError;
  /** The election's last term, whichever campaign it belongs to. */
  readonly last: { term?: LiveTerm };
  /** Our lease has run out: who shows us as the leader must look again. */
  onLeaseLost(): void;
}

/** An honest `close()` while the guard holds must not wait for long, in milliseconds. */
const LONGEST_QUIT_MS = 2_500;

/** Whoever waits this long in `campaign()` is told once that it waits for its turn, in milliseconds. */
const LONG_WAIT_MS = 5_000;

type Settle = (outcome: Outcome) => void;

export class Campaign {
  readonly #tools: CampaignTools;
  readonly #report: CampaignReport;
  readonly #callbacks: Callbacks;
  readonly #calledFrom: readonly string[];
  readonly #queueWatcher: QueueWatcher;
  readonly #holder: LeaseHolder;
  readonly #candidateKey: CandidateKey;
  /** What etcd refuses to us although we have stood. */
  readonly #refusal: Refusal;
  #hasStood = false;
  readonly #stop = sharedAbort();
  #stopped: { reason: StopCause; error: ElectionError } | undefined;
  #state: CampaignState = begin();
  readonly #value: ValuePublisher;
  /** Callbacks of the campaign before. */
  readonly #after: Promise<void> | undefined;
  #term: LiveTerm | undefined;
  #nextTerm = new Deferred<Term>();
  /** For callers that wait until the key is deleted; made with the first of them. */
  #left: Deferred<void> | undefined;
  /** For those who wait until no callback of an earlier term is in the way; made with the first of them. */
  #ready: Deferred<void> | undefined;
  /** Ends the job at hand; set while one waits for events. */
  #settle: Settle | undefined;
  /** Looks at the queue again; what it looks for depends on the state. */
  #look: () => void = () => undefined;
  /** Whether the guard has let any round go. */
  #released = false;
  #cancelHealthTimer = (): void => undefined;
  /** Key of our last candidacy. */
  #ownKey: string | undefined;
  readonly #ifFree: boolean;
  #isTaken = false;
  #offLoop: () => void = () => undefined;
  #isWaitTold = false;
  #knownLeader: Queued | undefined;
  #isLeaseLost = false;
  /** Resolves when the campaign is over in etcd; the last callback may still be under way. */
  readonly ended: Promise<void>;
  /** Resolves when the last callback has settled too. */
  readonly settled: Promise<void>;

  /** @param start.after what must have settled before this campaign calls back. */
  constructor(
    tools: CampaignTools,
    callbacks: Callbacks,
    start: {
      value: string;
      calledFrom: readonly string[];
      after: Promise<void> | undefined;
      /** Gives up where another candidate stands already. */
      ifFree: boolean;
    },
  ) {
    this.#tools = tools;
    this.#report = tools.report;
    this.#callbacks = callbacks;
    this.#after = start.after;
    this.#ifFree = start.ifFree;
    this.#value = new ValuePublisher(tools, start.value, {
      signal: this.#stop.signal,
      candidacy: () => this.#place,
      shown: () => this.#place && this.#queueWatcher.queue.get(this.#place.key)?.value,
      onPublished: (value) => {
        if (this.#term !== undefined) this.#term.value = value;
      },
    });
    this.#calledFrom = start.calledFrom;
    this.#refusal = new Refusal(tools.refusalBackoff, (reason, forMs) => this.#report.refused(reason, forMs));
    this.#candidateKey = new CandidateKey(tools.transport, tools.electionKeys, tools.sessions);
    this.#holder = {
      electionKeys: tools.electionKeys,
      onOwnKey: (found, revision) => this.#lookAtOwnKey(found, revision),
    };
    this.#queueWatcher = new QueueWatcher(
      { electionKeys: tools.electionKeys, transport: tools.transport, sharedWatch: tools.sharedWatch },
      {
        onChange: () => {
          this.#look();
          this.#noteLeader();
          this.#value.check();
        },
        onRefused: (fault) => this.#refuse(fault),
        onDoubt: () => this.#noteLeader(),
      },
    );
    const leavePlace = tools.eventLog.begin();
    tools.sessions.join(this.#holder, tools.settings.marginMs, tools.eventLog, tools.settings.lastWill);
    this.ended = this.#run();
    this.settled = this.ended.then(() => start.after).then(() => this.#lastCallbacks());
    void this.ended.then(leavePlace);
  }

  /** The term at hand, or else the next one; rejects when the campaign ends before there is one. */
  term(): Promise<Term> {
    if (this.#stopped === undefined)
      return this.#term?.isOver === false ? Promise.resolve(this.#term) : this.#nextTerm.promise;
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
    const isEnding = name === 'leaving' || this.#term?.isOver === true;
    const isSettling = name === 'settling' && (this.#state.isAfterTerm || this.#after !== undefined);
    const isInTheWay = isSettling || (isEnding && this.#stopped === undefined);
    return isInTheWay ? (this.#ready ??= new Deferred()).promise : undefined;
  }

  get currentTerm(): LiveTerm | undefined {
    return this.#term;
  }

  /** Undefined while nothing is known. */
  get leader(): Candidate | undefined {
    if (this.#place === undefined || this.#term?.isOver === true) return undefined;
    // By the clock: nobody is shown for longer than we may believe it. Our own lease is proof of ourselves.
    const isBelieved =
      this.#term === undefined ? this.#queueWatcher.isConfirmed : this.#term.remainingMs() > 0;
    return isBelieved ? this.#see(this.#queueWatcher.queue.leader) : undefined;
  }

  /** Whether our lease has run out, by the clock, and we have not entered anew since: etcd may show our key all the same. */
  get isLeaseLost(): boolean {
    return this.#isLeaseLost || (this.#term?.isOver === false && this.#term.remainingMs() <= 0);
  }

  /** Key of our last candidacy; undefined before the first. */
  get ownKey(): string | undefined {
    return this.#ownKey;
  }

  /** Whether it gave up because another candidate stood already. */
  get isTaken(): boolean {
    return this.#isTaken;
  }

  #see(candidate: Queued | undefined): Candidate | undefined {
    return candidate && seen(candidate, this.#ownKey);
  }

  /** Our place in the queue: 1 leads; undefined while we are in none. */
  get position(): number | undefined {
    return this.#place && this.#queueWatcher.queue.olderThan(this.#place.createRevision) + 1;
  }

  /** Our candidacy, while we wait or lead. */
  get #place(): Candidacy | undefined {
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

  /** The callbacks that it calls. */
  get callbacks(): Callbacks {
    return this.#callbacks;
  }

  /** Ends the campaign for good; the job at hand learns of it at once. Only the first cause counts. */
  stop(reason: StopCause, error: ElectionError): void {
    if (this.#stopped !== undefined) return;
    this.#stopped = { reason, error };
    this.#settle?.({ type: 'stopped', reason });
    this.#stop.abort(error); // without a reason it makes one, with a stack trace, on the way to the release
  }

  /** Ends the term, if there is one, and stands again at the back of the queue. @returns when the key is given up. */
  stepDown(): Promise<void> {
    if (this.#state.name !== 'leading') return Promise.resolve();
    const { promise } = (this.#left ??= new Deferred());
    this.#settle?.({ type: 'lost', reason: 'stepped-down' });
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
    const { sessions } = this.#tools;
    if (!this.#released) await this.#passQuits();
    this.#report.campaignEnded(reason, error);
    this.#queueWatcher.close();
    await sessions.leave(this.#holder);
    this.#nextTerm.reject(error);
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
        return this.#awaitTurn(state.candidacy);
      case 'leading':
        return this.#serveTerm(state.candidacy);
      case 'leaving':
        return this.#leave(state);
    }
  }

  /** Work that ignores its signal is not started a second time: we stand again when it has settled. */
  async #settleCallbacks(isAfterTerm: boolean): Promise<Outcome> {
    if (this.#after !== undefined) await this.#orStopped(this.#after);
    if (isAfterTerm && this.#stopped === undefined) {
      await this.#orStopped(this.#callbacks.workSettled());
      if (this.#stopped === undefined) this.#payFollower(undefined);
      await this.#orStopped(this.#callbacks.settled());
    }
    return this.#stoppedOr({ type: 'settled' });
  }

  #tellReady(): void {
    this.#ready?.resolve();
    this.#ready = undefined;
  }

  async #passGuard(origin: Origin): Promise<Outcome> {
    await this.#tools.guard.pass(origin, this.#tools.settings.guard, {
      signal: this.#stop.signal,
      calledFrom: this.#calledFrom,
      listener: this.#report.guard,
      isCampaign: true,
      isBegun: !this.#released,
    });
    if (this.#stopped === undefined) this.#released = true;
    return this.#stoppedOr({ type: 'released' });
  }

  /** Given up before the guard let any round go. Where the election's own guard has told of the loop, this one need not. */
  async #passQuits(): Promise<void> {
    const { guard, settings } = this.#tools;
    const isTold = guard.status(settings.guard).state !== 'open';
    await this.#tools
      .guardOf('quits')
      .pass(
        'caller',
        { ...settings.guard, capMs: LONGEST_QUIT_MS },
        { calledFrom: this.#calledFrom, listener: isTold ? undefined : this.#report.guard },
      );
    guard.gaveUp();
    await clock.sleep(1); // a loop may make a new election each time, whose guard knows of no loop
  }

  /** At the very start it ends the campaign: somebody mistyped something. Later it is an outage. */
  #refuse(fault: EtcdError): void {
    if (!this.#hasStood || fault.kind === 'client-closed')
      return this.stop('refused', refusedError(this.#tools.election, fault));
    this.#refusal.note(fault);
    this.#settle?.({ type: 'lost', reason: 'refused' });
  }

  async #enter(): Promise<Outcome> {
    await this.#refusal.pass(this.#stop.signal);
    if (this.#stopped !== undefined) return this.#stoppedOr({ type: 'failed' });
    try {
      const entry = await this.#candidateKey.take(() => this.#value.value, this.#stop.signal);
      const { candidacy } = entry;
      this.#ownKey = candidacy.key;
      this.#isLeaseLost = false;
      this.#tools.guard.cameThrough();
      this.#value.entered(this.#value.value);
      this.#hasStood = true;
      this.#refusal.over();
      this.#queueWatcher.start(entry, this.#candidateKey.session!.ttlMs);
      this.#awaitHealth();
      const ahead = this.#queueWatcher.queue.olderThan(candidacy.createRevision);
      this.#report.entered(candidacy, ahead + 1);
      this.#noteLeader();
      if (this.#ifFree && ahead > 0) {
        this.#isTaken = true;
        this.stop('resigned', this.#tools.endedError('resigned'));
      }
      return { type: 'entered', candidacy };
    } catch (error) {
      if (!(error instanceof EtcdError)) throw error;
      if (isFinal(error)) this.#refuse(error);
      else if (this.#stopped === undefined) this.#report.enterFailed(error);
      return this.#stoppedOr({ type: 'failed' });
    }
  }

  #awaitTurn(candidacy: Candidacy): Promise<Outcome> {
    return this.#until((settle) => {
      const look = (): void => {
        if (!this.#stands(candidacy)) settle({ type: 'lost', reason: 'evicted' });
        else if (this.#candidateKey.session?.isValid() !== true)
          settle({ type: 'lost', reason: 'deadline-passed' });
        else if (this.#queueWatcher.queue.olderThan(candidacy.createRevision) === 0)
          settle({ type: 'elected' });
      };
      look();
      if (this.#settle === settle) {
        this.#follow(this.#queueWatcher.queue.leader);
        void this.#tellLongWait(candidacy);
      }
      return look;
    });
  }

  #serveTerm(candidacy: Candidacy): Promise<Outcome> {
    const { settings } = this.#tools;
    return this.#until((settle) => {
      const term = this.#newTerm(candidacy, settle);
      this.#term = term;
      this.#report.termStarted(term, this.#tools.transport.clusterId);
      const look = (): void => {
        if (!this.#stands(candidacy)) settle({ type: 'lost', reason: 'evicted' });
        else if (!term.isCurrent()) settle({ type: 'lost', reason: 'deadline-passed' });
      };
      if (this.#settle !== settle) return look; // a subscriber has ended it
      this.#nextTerm.resolve(term);
      this.#nextTerm = new Deferred();
      look(); // a message may have come since we were elected
      if (this.#settle !== settle) return look;
      this.#callbacks.lead(term);
      if (this.#settle !== settle) return look; // the work has ended its own term
      this.#offLoop = watchLoop();
      if (this.#callbacks.isFollowing) this.#awaitFollower(settle);
      if (settings.progressTimeoutMs !== undefined)
        this.#watchProgress(term, settings.progressTimeoutMs, settle);
      return look;
    });
  }

  #newTerm(candidacy: Candidacy, settle: Settle): LiveTerm {
    const { election, settings } = this.#tools;
    const value = this.#value;
    const tools = new TermWriter(this.#tools, this.#candidateKey.session!, candidacy, {
      pass: (signal) => value.pass(signal),
      done: (announced) => value.proclaimed(announced),
    });
    const callbacks = this.#callbacks;
    const life: TermLife = {
      frames: callbacks.frames,
      drainTimeoutMs: settings.drainTimeoutMs,
      get isPair() {
        return settings.whenWorkEnds === 'stay' && callbacks.isPair;
      },
      callers: this.#tools.callers,
      onError: this.#report.callbackFailed,
      onFailed: () => settle({ type: 'lost', reason: term.isCurrent() ? 'work-failed' : 'deadline-passed' }),
      askedAfterEnd: () => this.#report.staleUse(term, this.#tools.last.term),
      evicted: () => settle({ type: 'lost', reason: 'evicted' }),
      onIdle: () => {
        const isOver = settings.whenWorkEnds === 'step-down';
        this.#report.workEnded(term, !isOver);
        if (isOver) settle({ type: 'lost', reason: 'work-ended' });
      },
      stepDown: () => settle({ type: 'lost', reason: 'stepped-down' }),
      resign: () => this.stop('resigned', this.#tools.endedError('resigned')),
      proclaiming: (proclaim) => value.proclaiming(proclaim),
    };
    const term = new LiveTerm(election, candidacy, value.value, tools, life);
    this.#tools.last.term = term;
    return term;
  }

  /** The work cannot begin before `onFollower` has settled: a leader that does not work gives up its key. */
  #awaitFollower(settle: Settle): void {
    void this.#callbacks.followed(this.#tools.settings.drainTimeoutMs).then((followed) => {
      if (!followed) settle({ type: 'lost', reason: 'follower-stuck' });
    });
  }

  #watchProgress(term: LiveTerm, timeoutMs: number, settle: Settle): void {
    const check = (): void => {
      const quietMs = clock.now() - term.heartbeatAtMs;
      if (quietMs >= timeoutMs) settle({ type: 'lost', reason: 'no-progress' });
      else cancelTimer = after(timeoutMs - quietMs, check);
    };
    let cancelTimer = after(timeoutMs, check);
    term.signal.addEventListener('abort', () => cancelTimer(), { once: true });
  }

  /** Stop the work, wait for it, call `onFollower`, wait for it, and only then delete the key. */
  async #leave(state: Extract<CampaignState, { name: 'leaving' }>): Promise<Outcome> {
    const { candidacy, reason } = state;
    const term = this.#term;
    this.#cancelHealthTimer();
    if (term === undefined && candidacy !== undefined && state.afterwards === 'stand-again')
      this.#report.lostPlace(candidacy, reason);
    if (term !== undefined) {
      const successor = this.#queueWatcher.queue.candidates.find(({ key }) => key !== candidacy?.key);
      await stopWork(this.#report, this.#callbacks, {
        term,
        reason,
        successor: this.#see(successor),
        drainTimeoutMs: this.#tools.settings.drainTimeoutMs,
      });
    }
    await this.#deleteKey(candidacy);
    this.#queueWatcher.stop();
    this.#term = undefined;
    this.#left?.resolve();
    this.#left = undefined;
    return { type: 'left' };
  }

  async #deleteKey(candidacy: Candidacy | undefined): Promise<void> {
    try {
      // Also where we have lost it: it may have been taken off its lease, and would lead for nobody, for ever.
      const released = await this.#candidateKey.giveUp(candidacy, this.#queueWatcher.isDeleted(candidacy));
      if (released && this.#term !== undefined) this.#report.released(this.#term);
    } catch (error) {
      if (!(error instanceof EtcdError)) throw error;
      this.#report.releaseFailed(candidacy?.key ?? this.#tools.electionKeys, error);
    }
  }

  async #lastCallbacks(): Promise<void> {
    await this.#callbacks.settled();
    this.#payFollower(undefined);
    await this.#callbacks.settled();
  }

  /**
   * Waits for the job's outcome: the first that settles wins. What every wait has in common (the session's end, a
   * stop) is settled here; the rest by `listen`, which returns how to look at the queue again.
   */
  #until(listen: (settle: Settle) => () => void): Promise<Outcome> {
    return new Promise((resolve) => {
      let offEnd: () => void = () => undefined;
      const settle: Settle = (outcome) => {
        if (this.#settle !== settle) return;
        this.#settle = undefined;
        this.#look = () => undefined;
        offEnd();
        // Before anything else hears of it: the work must stop first.
        if (outcome.type === 'lost' || outcome.type === 'stopped') this.#endTerm(outcome.reason);
        if (outcome.type === 'lost') this.#noteLostLease(outcome.reason);
        resolve(outcome);
      };
      this.#settle = settle;
      const look = listen(settle);
      if (this.#settle !== settle) return; // over already
      this.#look = look;
      offEnd = this.#candidateKey.session!.onEnd((end) =>
        settle({ type: 'lost', reason: end === 'deadline-passed' ? end : 'lease-lost' }),
      );
      if (this.#stopped !== undefined) settle({ type: 'stopped', reason: this.#stopped.reason });
    });
  }

  #endTerm(reason: EndCause): void {
    const term = this.#term;
    if (term === undefined) return;
    const isOver = term.isOver;
    term.end(reason);
    if (isOver) return;
    this.#report.stalled(term, reason, this.#tools.settings.ttlSeconds * 1000);
    this.#offLoop();
    this.#offLoop = () => undefined;
    this.#report.termEnded(term, reason);
  }

  /** Whether our key is the one that we put there, and hangs on our lease. */
  #stands(candidacy: Candidacy): boolean {
    const found = this.#queueWatcher.queue.get(candidacy.key);
    return found?.fencingToken === candidacy.createRevision && found.leaseId === candidacy.leaseId;
  }

  /** The read that confirms a renewal shows our key too: an eviction that the watch may not have told of yet. */
  #lookAtOwnKey(found: Queued | undefined, revision: bigint): void {
    const place = this.#place;
    if (place === undefined || revision < place.createRevision) return; // it was read before we entered
    if (found?.fencingToken !== place.createRevision || found.leaseId !== place.leaseId)
      this.#settle?.({ type: 'lost', reason: 'evicted' });
  }

  /** Waiting or leading for long enough is progress: the guard may forget what was before. */
  #awaitHealth(): void {
    const { guard, settings } = this.#tools;
    const sinceMs = clock.now();
    this.#cancelHealthTimer();
    this.#cancelHealthTimer = after(
      settings.guard.healthyAfterMs + 1,
      () => guard.healthyFor(clock.now() - sinceMs, settings.guard, this.#report.guard),
      true,
    );
  }

  #follow(leader: Queued | undefined): void {
    const { followerCalls } = this.#callbacks;
    this.#callbacks.follow(this.#see(leader), this.#report.callbackFailed);
    if (this.#callbacks.followerCalls !== followerCalls) void this.#tellStuckFollower();
  }

  /** Calls `onFollower` if it is due: the work of the last term took too long for it. */
  #payFollower(leader: Queued | undefined): void {
    if (this.#callbacks.followerCallbackDue) this.#follow(leader);
  }

  async #tellStuckFollower(): Promise<void> {
    const afterMs = followerLimitMs(this.#tools.settings.drainTimeoutMs);
    if (this.#stopped !== undefined || (await this.#callbacks.followed(afterMs, this.#stop.signal))) return;
    this.#report.followerOverdue(afterMs);
  }

  async #tellLongWait(candidacy: Candidacy): Promise<void> {
    if (this.#isWaitTold) return;
    await clock.sleep(LONG_WAIT_MS, this.#stop.signal);
    if (this.#isWaitTold || this.#place !== candidacy || this.#state.name !== 'waiting') return;
    this.#isWaitTold = true;
    this.#report.waitsForLong(this.position!, this.leader?.value, LONG_WAIT_MS);
  }

  #noteLostLease(reason: EndCause): void {
    if (reason !== 'deadline-passed' && reason !== 'lease-lost') return;
    this.#isLeaseLost = true;
    this.#noteLeader();
    this.#tools.onLeaseLost();
  }

  #noteLeader(): void {
    const { queue, isConfirmed } = this.#queueWatcher;
    const isOurs = this.#isLeaseLost && queue.leader?.key === this.#ownKey;
    const leader = isConfirmed && !isOurs ? queue.leader : undefined;
    const known = this.#knownLeader;
    if (leader?.fencingToken === known?.fencingToken && leader?.value === known?.value) return;
    this.#knownLeader = leader;
    this.#report.leaderChanged(leader);
    this.#callbacks.noteLeader(this.#see(leader), this.#report.callbackFailed);
  }

  #stoppedOr(outcome: Outcome): Outcome {
    return this.#stopped === undefined ? outcome : { type: 'stopped', reason: this.#stopped.reason };
  }

  /** Resolves with the promise, or when the campaign is told to end; keeps no listener of each term. */
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
    this.#endTerm('refused');
    this.#queueWatcher.close();
    this.#cancelHealthTimer();
    this.#state = { name: 'ended', reason: 'refused' };
    this.#tellReady();
  }
}
