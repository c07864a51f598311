/**
 * A campaign under way: one replica standing in one election, from `campaign()` until it is over.
 *
 * core/campaign says what can follow what; this does each state's one job and feeds the outcome back. Watch
 * events, a lost session, `resign()`: all they can do is end the job at hand with an outcome.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { ComparatorBuilder } from 'etcd3';
import {
  begin,
  next,
  type Campaign,
  type Candidacy,
  type EndCause,
  type LossCause,
  type Outcome,
  type StopCause,
} from './core/campaign.ts';
import type { Candidate } from './core/roster.ts';
import * as candidacies from './etcd/candidacy.ts';
import { EtcdFault } from './etcd/fault.ts';
import { fencedTxn } from './etcd/fenced-txn.ts';
import type { CallLimits, Link } from './etcd/link.ts';
import type { WatchHub } from './etcd/watch.ts';
import { OutcomeUnknownError, RefusedError, UnavailableError, type ElectionError } from './errors.ts';
import type { GuardListener, LoopGuard } from './guard.ts';
import { Deferred } from './deferred.ts';
import type { Settings } from './options.ts';
import type { Reporter } from './reporter.ts';
import { RosterFeed } from './roster-feed.ts';
import { CALL_LIMIT_MS, type Session, type SessionSource } from './session.ts';
import { LiveTerm, type Term } from './term.ts';
import { clock } from './time.ts';

/** What a campaign needs of the rest of the house. */
export interface CampaignTools {
  readonly election: string;
  /** Prefix of all candidates' keys. */
  readonly electionKeys: string;
  readonly settings: Settings;
  readonly link: Link;
  readonly hub: WatchHub;
  readonly sessions: SessionSource;
  readonly guard: LoopGuard;
  readonly reporter: Reporter;
}

export interface Callbacks {
  readonly onLeader: ((term: Term) => unknown) | undefined;
  readonly onFollower: ((leader: Candidate | undefined) => unknown) | undefined;
  /** Kept from one campaign of an election to the next: the two always take turns. */
  lastCalled: 'onLeader' | 'onFollower' | undefined;
}

/** Whose work the code at hand belongs to: whoever resigns from within must not wait for himself. */
const insideWorkOf = new AsyncLocalStorage<RunningCampaign>();

type Settle = (outcome: Outcome) => void;

export class RunningCampaign {
  readonly #tools: CampaignTools;
  readonly #callbacks: Callbacks;
  readonly #calledFrom: readonly string[];
  readonly #feed: RosterFeed;
  readonly #stop = new AbortController();
  #stopped: { because: StopCause; error: ElectionError } | undefined;
  #state: Campaign = begin();
  #value: string;
  #session: Session | undefined;
  #term: LiveTerm | undefined;
  #nextTerm = new Deferred<Term>();
  /** Ends the job at hand; set while one waits for events. */
  #settle: Settle | undefined;
  /** Looks at the roster again; what it looks for depends on the state. */
  #look: () => void = () => undefined;
  #healthTimer: NodeJS.Timeout | undefined;
  #knownLeader: Candidate | undefined;
  /** The work of the term, until it settles. */
  #work: Promise<void> | undefined;
  /** The follower's callback, until it settles. */
  #following: Promise<void> | undefined;
  /** Set while an enter is on its way, or was lost: our key may be in etcd without our knowing. */
  #unseen = false;
  #left = new Deferred<void>();
  /** Resolves when the campaign is over in etcd; the last callback may still be under way. */
  readonly ended: Promise<void>;
  /** Resolves when the last callback has settled too. */
  readonly settled: Promise<void>;

  /** @param after what must have settled before this campaign calls back: the callbacks of the one before. */
  constructor(
    tools: CampaignTools,
    callbacks: Callbacks,
    start: { value: string; calledFrom: readonly string[]; after: Promise<void> | undefined },
  ) {
    this.#tools = tools;
    this.#callbacks = callbacks;
    this.#value = start.value;
    this.#calledFrom = start.calledFrom;
    this.#feed = new RosterFeed(
      {
        electionKeys: tools.electionKeys,
        link: tools.link,
        hub: tools.hub,
        noticeWithinMs: tools.settings.ttlSeconds * 1000,
      },
      {
        onChange: () => {
          this.#look();
          this.#noteLeader();
        },
        onRefused: (fault) => this.stop('refused', this.#refusal(fault)),
      },
    );
    tools.sessions.join(tools.settings.marginMs, tools.reporter);
    this.ended = this.#run(start.after);
    this.settled = this.ended.then(() => this.#callbacksSettled());
  }

  /** The term at hand, or else the next one; rejects when the campaign ends before there is one. */
  term(): Promise<Term> {
    return this.#nextTerm.promise;
  }

  get state(): Campaign['name'] {
    return this.#state.name;
  }

  get currentTerm(): LiveTerm | undefined {
    return this.#term;
  }

  /** Undefined while nothing is known. */
  get leader(): Candidate | undefined {
    return this.#isInQueue ? this.#feed.roster.leader : undefined;
  }

  /** Our place in the queue: 1 leads; undefined while we are in none. */
  get position(): number | undefined {
    const { candidacy } = this.#state as { candidacy?: Candidacy };
    if (!this.#isInQueue || candidacy === undefined) return undefined;
    return this.#feed.roster.olderThan(candidacy.createRevision) + 1;
  }

  get #isInQueue(): boolean {
    return this.#state.name === 'waiting' || this.#state.name === 'leading';
  }

  get value(): string {
    return this.#value;
  }

  /** Whether the work of this campaign's term is what calls us. */
  get isCallingUs(): boolean {
    return insideWorkOf.getStore() === this;
  }

  /** Ends the campaign for good; the job at hand learns of it at once. Only the first cause counts. */
  stop(because: StopCause, error: ElectionError): void {
    if (this.#stopped !== undefined) return;
    this.#stopped = { because, error };
    this.#settle?.({ type: 'stopped', because });
    this.#stop.abort();
  }

  /** Ends the term, if there is one, and stands again at the back of the queue. */
  async stepDown(): Promise<void> {
    if (this.#state.name !== 'leading') return;
    const { promise } = this.#left;
    this.#settle?.({ type: 'lost', because: 'stepped-down' });
    if (!this.isCallingUs) await promise;
  }

  /** Announces another value from now on. */
  announce(value: string): void {
    if (value === this.#value) return;
    this.#value = value;
    if (this.#isInQueue) void this.#proclaim(value).catch(() => undefined); // entering again announces it
  }

  async #run(after: Promise<void> | undefined): Promise<void> {
    await after;
    try {
      while (this.#state.name !== 'ended') {
        const outcome = await this.#perform(this.#state);
        this.#state = next(this.#state, outcome);
      }
    } catch (bug) {
      // Ours, never the world's. Whatever it was, we must not go on acting as leader.
      this.stop(
        'refused',
        new RefusedError(this.#tools.election, `a bug in etcd-election: ${String(bug)}`, { cause: bug }),
      );
      this.#term?.end('refused');
      this.#feed.stop();
      clearTimeout(this.#healthTimer);
      this.#state = { name: 'ended', because: 'refused' };
    }
    const { because, error } = this.#stopped!;
    this.#tools.reporter.report({
      type: 'campaign.ended',
      election: this.#tools.election,
      because,
      ...(because === 'refused' && { error }),
    });
    await this.#tools.sessions.leave();
    this.#nextTerm.reject(error);
  }

  #perform(state: Exclude<Campaign, { name: 'ended' }>): Promise<Outcome> {
    if (this.#stopped !== undefined && state.name !== 'leaving')
      return Promise.resolve({ type: 'stopped', because: this.#stopped.because });
    switch (state.name) {
      case 'held':
        return this.#passGuard(state.origin);
      case 'entering':
        return this.#enter();
      case 'waiting':
        return this.#awaitTurn(state.candidacy);
      case 'leading':
        return this.#serveTerm(state.candidacy);
      case 'leaving':
        return this.#leave(state.candidacy, state.because, state.afterwards === 'end');
    }
  }

  async #passGuard(origin: 'own' | 'outside'): Promise<Outcome> {
    await this.#tools.guard.pass(origin, this.#tools.settings.guard, {
      signal: this.#stop.signal,
      calledFrom: this.#calledFrom,
      listener: this.#guardListener,
    });
    return this.#stoppedOr({ type: 'released' });
  }

  async #enter(): Promise<Outcome> {
    const { sessions, link, electionKeys, election, reporter } = this.#tools;
    const limits: CallLimits = { withinMs: CALL_LIMIT_MS, signal: this.#stop.signal };
    const unseenBefore = this.#unseen;
    try {
      const session = await sessions.acquire(this.#stop.signal);
      this.#session = session;
      await session.settle(candidacies.candidateKey(electionKeys, session.leaseId), limits);
      this.#unseen = true;
      const entrant = { leaseId: session.leaseId, value: this.#value };
      const entry = await candidacies.enter(link, electionKeys, entrant, limits);
      const { candidacy } = entry;
      // A key of an earlier try, or a value that changed meanwhile.
      const announced = entry.candidates.find(({ key }) => key === candidacy.key)?.value;
      if (announced !== this.#value) await candidacies.proclaim(link, candidacy, this.#value, limits);
      this.#unseen = false;
      this.#awaitHealth();
      this.#feed.start(entry);
      reporter.report({
        type: 'candidate.entered',
        election,
        key: candidacy.key,
        fencingToken: candidacy.createRevision.toString(),
        position: this.#feed.roster.olderThan(candidacy.createRevision) + 1,
      });
      return { type: 'entered', candidacy };
    } catch (error) {
      if (!(error instanceof EtcdFault)) throw error;
      if (error.kind === 'lease-gone') this.#session?.end('lease-lost');
      if (error.kind === 'refused' || error.kind === 'client-closed')
        this.stop('refused', this.#refusal(error));
      if (!error.mayHaveHappened) this.#unseen = unseenBefore;
      if (this.#stopped === undefined)
        reporter.report({ type: 'candidate.failed', election, reason: error.message });
      return this.#stoppedOr({ type: 'failed' });
    }
  }

  /** Waiting or leading for long enough is progress: the guard may forget what was before. */
  #awaitHealth(): void {
    const { guard, settings } = this.#tools;
    const sinceMs = clock.now();
    const check = (): void => guard.settle(clock.now() - sinceMs, settings.guard, this.#guardListener);
    clearTimeout(this.#healthTimer);
    this.#healthTimer = setTimeout(check, settings.guard.healthyAfterMs + 1);
    this.#healthTimer.unref();
  }

  get #guardListener(): GuardListener {
    const { reporter, election } = this.#tools;
    return {
      tripped: (fact) => reporter.report({ type: 'guard.tripped', election, ...fact }),
      recovered: (fact) => reporter.report({ type: 'guard.recovered', election, ...fact }),
    };
  }

  #noteLeader(): void {
    const { leader } = this.#feed.roster;
    if (
      leader?.fencingToken === this.#knownLeader?.fencingToken &&
      leader?.value === this.#knownLeader?.value
    )
      return;
    this.#knownLeader = leader;
    this.#tools.reporter.report({
      type: 'leader.changed',
      election: this.#tools.election,
      fencingToken: leader?.fencingToken.toString(),
      value: leader?.value,
    });
  }

  #awaitTurn(candidacy: Candidacy): Promise<Outcome> {
    return this.#until((settle) => {
      const look = (): void => {
        const { roster } = this.#feed;
        if (!stands(candidacy, roster.get(candidacy.key))) settle({ type: 'lost', because: 'evicted' });
        else if (!this.#session!.isValid()) settle({ type: 'lost', because: 'deadline-passed' });
        else if (roster.olderThan(candidacy.createRevision) === 0) settle({ type: 'elected' });
      };
      look();
      if (this.#settle !== undefined) this.#callFollower(this.#feed.roster.leader);
      return look;
    });
  }

  async #serveTerm(candidacy: Candidacy): Promise<Outcome> {
    const { reporter, election, settings } = this.#tools;
    const session = this.#session!;
    const term = new LiveTerm(election, candidacy, this.#value, {
      remainingMs: () => session.remainingMs(),
      proclaim: (of, value) => this.#proclaimAs(of, candidacy, value),
      txn: (of) => this.#fencedTxn(of, candidacy),
    });
    this.#term = term;
    reporter.report({
      type: 'term.started',
      election,
      fencingToken: term.fencingToken.toString(),
      value: term.value,
      leaseId: term.leaseId,
    });
    return await this.#until((settle) => {
      this.#nextTerm.resolve(term);
      const look = (): void => {
        if (!stands(candidacy, this.#feed.roster.get(candidacy.key)))
          settle({ type: 'lost', because: 'evicted' });
      };
      this.#startWork(term, settle);
      if (settings.progressTimeoutMs !== undefined)
        this.#watchProgress(term, settings.progressTimeoutMs, settle);
      return look;
    });
  }

  /** Calls `onLeader` once the follower's callback has settled: the two never overlap. */
  #startWork(term: LiveTerm, settle: Settle): void {
    const start = (): void => {
      if (term.signal.aborted || this.#callbacks.onLeader === undefined) return;
      const { onLeader } = this.#callbacks;
      this.#callbacks.lastCalled = 'onLeader';
      this.#work = insideWorkOf
        .run(this, () => this.#guarded('onLeader', () => onLeader(term)))
        .then((failed) => {
          this.#work = undefined;
          if (failed) settle({ type: 'lost', because: 'work-failed' });
        });
    };
    if (this.#following === undefined) return start();
    const patience = clock.sleep(this.#tools.settings.drainTimeoutMs, term.signal).then(() => {
      if (this.#following !== undefined) settle({ type: 'lost', because: 'follower-stuck' });
    });
    void Promise.race([this.#following.then(start), patience]);
  }

  #watchProgress(term: LiveTerm, timeoutMs: number, settle: Settle): void {
    const check = (): void => {
      const quietMs = clock.now() - term.heartbeatAtMs;
      if (quietMs >= timeoutMs) settle({ type: 'lost', because: 'no-progress' });
      else arm(timeoutMs - quietMs);
    };
    let timer: NodeJS.Timeout;
    const arm = (ms: number): void => {
      timer = setTimeout(check, ms);
    };
    term.signal.addEventListener('abort', () => clearTimeout(timer), { once: true });
    arm(timeoutMs);
  }

  /** Stop the work, wait for it, and only then free the seat. */
  async #leave(candidacy: Candidacy | undefined, because: EndCause, forGood: boolean): Promise<Outcome> {
    const { reporter, election } = this.#tools;
    clearTimeout(this.#healthTimer);
    const term = this.#term;
    if (term === undefined && candidacy !== undefined && !forGood)
      reporter.report({
        type: 'candidate.lost',
        election,
        fencingToken: candidacy.createRevision.toString(),
        because,
      });
    if (this.#work !== undefined && term !== undefined) await this.#drain(term);
    await this.#release(candidacy, because);
    this.#feed.stop();
    this.#term = undefined;
    if (term !== undefined && !forGood) this.#nextTerm = new Deferred();
    this.#left.resolve();
    this.#left = new Deferred();
    if (this.#work !== undefined && !forGood) await Promise.race([this.#work, aborted(this.#stop.signal)]);
    if (this.#work === undefined && this.#callbacks.lastCalled === 'onLeader')
      this.#callFollower(this.#othersLeader(candidacy));
    return { type: 'left' };
  }

  async #drain(term: LiveTerm): Promise<void> {
    const { settings, reporter, election } = this.#tools;
    const begunAtMs = clock.now();
    const settled = new AbortController();
    const work = this.#work!.then(() => settled.abort());
    await Promise.race([work, clock.sleep(settings.drainTimeoutMs, settled.signal)]);
    if (this.#work !== undefined)
      reporter.report({
        type: 'drain.overdue',
        election,
        fencingToken: term.fencingToken.toString(),
        afterMs: clock.now() - begunAtMs,
      });
  }

  async #release(candidacy: Candidacy | undefined, because: EndCause): Promise<void> {
    const session = this.#session;
    this.#session = undefined;
    const { link, electionKeys, reporter, election } = this.#tools;
    const unseen = candidacy === undefined && this.#unseen;
    this.#unseen = false;
    // What is gone, or hangs on a lease that is given up whole, needs no release.
    if (session === undefined || !session.isValid() || because === 'evicted') return;
    if (candidacy === undefined && !unseen) return;
    const key = candidacy?.key ?? candidacies.candidateKey(electionKeys, session.leaseId);
    const release = (limits: CallLimits): Promise<void> =>
      candidacy === undefined
        ? candidacies.releaseUnseen(link, electionKeys, session.leaseId, limits)
        : candidacies.release(link, candidacy, limits);
    try {
      // Not under the signal that stopped us: an aborted release would leave the key behind.
      await release({ withinMs: CALL_LIMIT_MS });
      if (unseen) session.owe(key, release, true);
    } catch (error) {
      if (!(error instanceof EtcdFault)) throw error;
      session.owe(key, release, unseen);
      reporter.report({ type: 'release.failed', election, key, reason: error.message });
    }
  }

  #othersLeader(candidacy: Candidacy | undefined): Candidate | undefined {
    return this.#feed.roster.candidates.find(({ key }) => key !== candidacy?.key);
  }

  #callFollower(leader: Candidate | undefined): void {
    const { onFollower } = this.#callbacks;
    if (onFollower === undefined || this.#callbacks.lastCalled === 'onFollower') return;
    this.#callbacks.lastCalled = 'onFollower';
    this.#following = this.#guarded('onFollower', () => onFollower(leader)).then(() => {
      this.#following = undefined;
    });
  }

  async #callbacksSettled(): Promise<void> {
    if (this.#work !== undefined) {
      await this.#work;
      this.#callFollower(undefined);
    }
    await this.#following;
  }

  /** A callback that throws or rejects is logged, and never the end of the process. @returns whether it failed. */
  async #guarded(callback: 'onLeader' | 'onFollower', call: () => unknown): Promise<boolean> {
    try {
      await call();
      return false;
    } catch (error) {
      if (!(error instanceof Error && error === this.#term?.signal.reason))
        this.#tools.reporter.report({
          type: 'callback.failed',
          election: this.#tools.election,
          callback,
          error,
        });
      return true;
    }
  }

  async #proclaim(value: string): Promise<void> {
    const { candidacy } = this.#state as { candidacy?: Candidacy };
    if (candidacy === undefined) return;
    await candidacies.proclaim(this.#tools.link, candidacy, value, { withinMs: CALL_LIMIT_MS });
    if (this.#term !== undefined) this.#term.value = value;
  }

  async #proclaimAs(term: LiveTerm, candidacy: Candidacy, value: string): Promise<void> {
    term.assertCurrent();
    const announced = await candidacies
      .proclaim(this.#tools.link, candidacy, value, { withinMs: CALL_LIMIT_MS })
      .catch((error: unknown) => {
        throw this.#writeError(error as EtcdFault, term);
      });
    if (!announced) throw term.lost();
    this.#value = value;
    term.value = value;
  }

  #fencedTxn(term: LiveTerm, candidacy: Candidacy): ComparatorBuilder {
    return fencedTxn(
      this.#tools.link,
      candidacy,
      () => {
        term.assertCurrent();
        return { withinMs: this.#tools.settings.ttlSeconds * 1000 };
      },
      (fault) => this.#writeError(fault, term),
    );
  }

  #writeError(fault: Error, term: LiveTerm): Error {
    if (!(fault instanceof EtcdFault)) return fault;
    const { election } = this.#tools;
    const say = `a write of election "${election}" (fencing token ${term.fencingToken})`;
    if (fault.kind === 'refused' || fault.kind === 'client-closed') return this.#refusal(fault);
    if (fault.mayHaveHappened)
      return new OutcomeUnknownError(
        election,
        `${say} was sent, but its outcome is unknown: ${fault.message}. Read before you write again`,
        { cause: fault },
      );
    return new UnavailableError(election, `${say} did not happen: ${fault.message}`, { cause: fault });
  }

  #refusal(fault: EtcdFault): RefusedError {
    const { election } = this.#tools;
    const advice =
      fault.kind === 'client-closed'
        ? 'make a new client, and a new Election on it'
        : 'check the user, its password and its permissions on the prefix';
    return new RefusedError(
      election,
      `election "${election}" is refused by etcd: ${fault.message}; ${advice}`,
      {
        cause: fault,
      },
    );
  }

  /**
   * Waits for the job's outcome: the first that settles wins. What every wait has in common (the session's end, a
   * stop) is settled here; the rest by `begin`, which returns how to look at the roster again.
   */
  #until(begin: (settle: Settle) => () => void): Promise<Outcome> {
    return new Promise((resolve) => {
      const settle: Settle = (outcome) => {
        if (this.#settle !== settle) return;
        this.#settle = undefined;
        this.#look = () => undefined;
        offEnd();
        const term = this.#term;
        // Before anything else hears of it: the work must stop first.
        if (term !== undefined && (outcome.type === 'lost' || outcome.type === 'stopped')) {
          term.end(outcome.because);
          this.#reportTermEnd(term, outcome.because);
        }
        resolve(outcome);
      };
      let offEnd: () => void = () => undefined;
      this.#settle = settle;
      this.#look = begin(settle);
      if (this.#settle !== settle) {
        this.#look = () => undefined;
        return;
      }
      offEnd = this.#session!.onEnd((end) => {
        const because: LossCause = end === 'deadline-passed' ? 'deadline-passed' : 'lease-lost';
        settle({ type: 'lost', because });
      });
      if (this.#stopped !== undefined) settle({ type: 'stopped', because: this.#stopped.because });
    });
  }

  #reportTermEnd(term: LiveTerm, because: EndCause): void {
    this.#tools.reporter.report({
      type: 'term.ended',
      election: this.#tools.election,
      fencingToken: term.fencingToken.toString(),
      because,
      ledMs: clock.now() - term.startedAtMs,
    });
  }

  #stoppedOr(outcome: Outcome): Outcome {
    return this.#stopped === undefined ? outcome : { type: 'stopped', because: this.#stopped.because };
  }
}

/** Whether the candidate found under our key is the one that we put there. */
const stands = (candidacy: Candidacy, found: Candidate | undefined): boolean =>
  found !== undefined &&
  found.fencingToken === candidacy.createRevision &&
  found.leaseId === candidacy.leaseId;

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
