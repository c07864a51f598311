/**
 * The facade: one election, as one replica sees it.
 */
import { onAbort, sharedAbort } from './util/abort.ts';
import type { Etcd3 } from 'etcd3';
import { callSite, type PublicFunction } from './loop-guard/call-site.ts';
import { CallLimiter } from './loop-guard/call-limits.ts';
import type { CallbackFrames } from './util/callback-frames.ts';
import { Callbacks } from './campaign/callbacks.ts';
import { Campaign, type CampaignTools } from './campaign/campaign.ts';
import { CampaignReport } from './campaign/campaign-report.ts';
import { SHORTEST_TTL_SECONDS } from './core/deadline.ts';
import type { StopCause } from './core/campaign-state.ts';
import { seen, type Candidate } from './campaign/candidate.ts';
import type { Candidate as Queued } from './core/candidate-queue.ts';
import { LeadWork, type LeadOptions } from './campaign/lead-work.ts';
import { currentTermOf, statusOf, type ElectionStatus } from './campaign/status.ts';
import { unheard } from './util/deferred.ts';
import { electionPrefix, type Snapshot } from './etcd/election-keys.ts';
import { AlreadyStandingError, ElectionClosedError, type ElectionError } from './errors.ts';
import { readError } from './campaign/etcd-to-user-errors.ts';
import { countSyncCall, countElection } from './loop-guard/sync-flood.ts';
import { sharedClientOf } from './client/shared-client.ts';
import { guardOf, type LoopGuard } from './loop-guard/loop-guard.ts';
import { endpointsOf, keyOf, type ElectionScope } from './loop-guard/guard-key.ts';
import { healthOf, type ElectionHealth } from './core/health.ts';
import { endsAtOnce, observeLeader, type Observed } from './campaign/observer.ts';
import { checkClient, checkName, checkSignal, checkValue, shortName } from './input-checks.ts';
import { resolveOptions, type ElectionOptions, type Settings } from './options.ts';
import { ownName } from './util/own-name.ts';
import { Refusal } from './campaign/refusal.ts';
import { defaultLogger, EventLog } from './logging/event-log.ts';
import { QueueReader } from './campaign/queue-reader.ts';
import { overUnlessAwaited } from './campaign/self-wait.ts';
import type { ActiveCampaigns } from './client/active-campaigns.ts';
import type { Term } from './term/term.ts';
import { clock } from './util/clock.ts';

/** Who leads an election, as etcd tells it. */
export type Leader = Candidate;

const live = new Set<Election>();

/** The elections of this process in which somebody stands at the moment. */
export const liveElections = (): readonly Election[] => [...live];

/** What a constructor is given; refusals are counted too, or a loop could swallow them for ever. */
function checked(client: Etcd3, name: string, options: ElectionOptions | undefined): Settings {
  try {
    checkName(name);
    checkClient(client, name);
    return resolveOptions(name, options);
  } catch (error) {
    countSyncCall(`refused|${shortName(name)}`, shortName(name));
    throw error;
  }
}

export class Election implements AsyncDisposable {
  readonly name: string;
  readonly #campaigns: ActiveCampaigns;
  readonly #tools: CampaignTools;
  readonly #guard: LoopGuard;
  readonly #campaignKey: string;
  readonly #frames: CallbackFrames;
  readonly #callbacks: Callbacks;
  #closingAbort: AbortController | undefined;
  #offSignal: (() => void) | undefined;
  readonly #callers: CallLimiter;
  readonly #reader: QueueReader;
  #closedBecause: ElectionClosedError | undefined;
  /** What etcd ended the last campaign with by refusing it. */
  #refused: string | undefined;
  #campaign: Campaign | undefined;
  /** Set while `lead()` is under way. */
  #leadCampaign: Campaign | undefined;
  /** The last campaign that was begun: its callbacks may run on, and its key is ours. */
  #last: Campaign | undefined;
  /** Why the last call was refused by us, though it may have gone unheard. */
  #notStanding: string | undefined;
  /** Iterations of `observe()`. */
  readonly #leaseLosses = new Set<() => void>();
  /** The last term of which a callback was told that it would wait for itself. */
  #selfWaitIn: Term | undefined;

  /**
   * Sets up an election; nothing is sent until it is used.
   *
   * @param client the user's own client: never closed, never changed.
   * @param name candidates that give the same name compete with each other. Well-formed Unicode of at most 1 KiB in
   *   UTF-8; not empty, without `/`, NUL and blanks at its edges. What a variable without a value leaves
   *   (`undefined`, `null`, `NaN`, `[object Object]`) is refused.
   * @throws {InvalidInputError} that names the field, what is expected and what came.
   * @throws {RunawayLoopError} if a loop makes elections without ever letting the event loop turn.
   */
  constructor(client: Etcd3, name: string, options?: ElectionOptions) {
    countElection(shortName(name));
    const settings = checked(client, name, options);
    const scope: ElectionScope = { endpoints: endpointsOf(client), prefix: settings.prefix, election: name };
    countSyncCall(keyOf(scope, 'new'), name);
    const eventLog = new EventLog(settings.logger ?? defaultLogger(), keyOf(scope, 'lines'));
    const report = new CampaignReport(name, eventLog);
    this.name = name;
    const shared = sharedClientOf(client);
    this.#campaigns = shared.campaigns;
    this.#campaignKey = `${settings.ttlSeconds}|${settings.prefix}${name}`;
    this.#frames = shared.campaigns.frames(this.#campaignKey);
    this.#callbacks = new Callbacks(settings, this.#frames);
    this.#guard = guardOf(scope, 'campaign');
    this.#tools = {
      election: name,
      electionKeys: electionPrefix(settings.prefix, name),
      settings,
      transport: shared.transport,
      sharedWatch: shared.watch(eventLog),
      sessions: shared.sessions(settings.ttlSeconds),
      refusalBackoff: shared.refusalBackoff,
      guard: this.#guard,
      guardOf: (what) => guardOf(scope, what),
      callers: new CallLimiter(scope, shared.reads, settings.guard, report.guard),
      eventLog,
      report,
      endedError: (reason) => this.#endedError(reason),
      last: {},
      onLeaseLost: () => {
        for (const listener of this.#leaseLosses) listener();
      },
    };
    this.#callers = this.#tools.callers;
    this.#reader = new QueueReader(this.#tools, this.#callers);
    const { signal, warnings } = settings;
    for (const reason of warnings) eventLog.report({ type: 'options.unusual', election: name, reason });
    if (signal?.aborted === true) void this.#close('aborted');
    else if (signal !== undefined) this.#offSignal = onAbort(signal, () => void this.#close('aborted'));
  }

  /**
   * Stands in the election, and goes on standing after every loss, until `resign()`, `close()` or the signal option
   * ends it, or etcd refuses the very first try. May be left un-awaited.
   *
   * While already standing it gives the current or the next term; another value is proclaimed. Calls in quick
   * succession are held apart by the loop guard: to look at the term at hand, read {@link status}.
   *
   * @param value what the others see of us, at most 16 KiB. Default: this node's own IP address and the
   *   process ID, as in `10.0.0.7:4711`.
   * @returns the first term, once we lead. Waits through any outage of etcd.
   * @throws {InvalidInputError} if the value is no string, or too long.
   * @throws {AlreadyStandingError} if another `Election` of this name, client and TTL stands, or `lead()` is under way;
   *   and if a callback awaits it whose term has ended: a next term cannot begin before that callback has returned.
   * @throws {ElectionClosedError} if the campaign is ended by us before we lead.
   * @throws {RefusedError} if etcd refuses for good, or the client is closed.
   * @throws {RunawayLoopError} synchronously, if a loop calls it without ever letting the event loop turn.
   */
  campaign(value?: string): Promise<Term> {
    this.#callers.count('stand');
    const running = this.#campaign;
    if (running?.isStopping === true && this.#closedBecause === undefined)
      return this.#afterCallbacks(running.ended, () => this.campaign(value), method('campaign'));
    if (running !== undefined && this.#leadCampaign === undefined && this.#closedBecause === undefined) {
      try {
        if (value !== undefined) checkValue(value, this.name);
      } catch (error) {
        return this.#refuse(error as ElectionError, callSite(method('campaign')));
      }
      if (value !== undefined) running.announce(value);
      const term = (): Promise<Term> =>
        this.#callers.repeat(method('campaign'), () => (this.#campaign ?? running).term());
      return running.ready === undefined
        ? term()
        : this.#afterCallbacks(running.ready, term, method('campaign'));
    }
    const stand = { callbacks: this.#callbacks, calledFrom: callSite(method('campaign')), ifFree: false };
    return this.#stand(value, stand, (campaign) => {
      const term = (): Promise<Term> => campaign.term();
      return campaign.ready === undefined
        ? term()
        : this.#afterCallbacks(campaign.ready, term, method('campaign'));
    });
  }

  /**
   * Waits until we lead, runs the work, resigns, and returns what the work returned. The callbacks of the options
   * are not called. If the term ends early `term.signal` aborts; what the work then does is its own decision, and
   * its result or error is handed on.
   *
   * @param options.ifFree skips the work where another candidate stands already, and resolves with `undefined`.
   * @throws what the work throws; and what {@link campaign} throws.
   */
  lead<T>(work: (term: Term) => Promise<T>, options: LeadOptions & { ifFree: true }): Promise<T | undefined>;
  lead<T>(work: (term: Term) => Promise<T>, options?: LeadOptions): Promise<T>;
  lead<T>(work: (term: Term) => Promise<T>, options: LeadOptions = {}): Promise<T | undefined> {
    this.#callers.count('stand');
    const calledFrom = callSite(method('lead'));
    let lead: LeadWork<T>;
    try {
      lead = new LeadWork(this.name, work, options);
      if (lead.signal?.aborted === true) throw this.#endedError('aborted');
    } catch (error) {
      return this.#refuse(error as ElectionError, calledFrom);
    }
    const callbacks = new Callbacks(lead.handlers, this.#frames);
    const stand = { callbacks, calledFrom, ifFree: lead.ifFree };
    return this.#stand(undefined, stand, async (campaign) => {
      const stop = (reason: StopCause): void => campaign.stop(reason, this.#endedError(reason));
      this.#leadCampaign = campaign;
      const over = lead.over(campaign, stop);
      over.catch(() => undefined);
      const awaiting = campaign.ready && (await overUnlessAwaited(campaign.ready, this.#frames));
      if (awaiting !== undefined) stop('resigned');
      await campaign.ended;
      this.#leadCampaign = undefined;
      return awaiting === undefined ? await over : await this.#refuseSelfWait('lead', calledFrom);
    });
  }

  /** The present term, as long as it is current: ask each time, and keep it for one act at most. */
  get currentTerm(): Term | undefined {
    this.#callers.look();
    return currentTermOf(this.#campaign);
  }

  /** Whether we may act as leader at this moment. Compares the clock at the moment of the call; never trusts a timer. */
  isCurrent(): boolean {
    this.#callers.look();
    return currentTermOf(this.#campaign) !== undefined;
  }

  /**
   * Ends the term, and stands again at the back of the queue. Resolves when the work is over, `onFollower` has settled
   * and the key is given up. Does nothing if we do not lead.
   *
   * If a callback of the term awaits this call, the call resolves as soon as the term has ended, and the key is given
   * up when the callback has returned. `term.stepDown()` never waits.
   */
  stepDown(): Promise<void> {
    this.#callers.count('end');
    const campaign = this.#campaign;
    return campaign?.state === 'leading'
      ? this.#unlessAwaited(campaign.stepDown())
      : this.#callers.idle(method('stepDown'));
  }

  /**
   * Ends the term and leaves the race. Resolves when the work is over, `onFollower` has settled and the key is given
   * up; never later than `drainTimeoutMs` and two calls to etcd; never rejects. `campaign()` may be called again.
   *
   * If a callback of the term awaits this call, the call resolves as soon as the term has ended, and the key is given
   * up when the callback has returned. `term.resign()` never waits.
   *
   * @throws {RunawayLoopError} synchronously, as every method does that a loop calls without ever letting the event
   *   loop turn.
   */
  resign(): Promise<void> {
    this.#callers.count('end');
    return this.#end('resigned', method('resign'));
  }

  /**
   * Resigns, for good. Afterwards the key is gone, and no timer, stream or listener of this election is left; work that
   * ignores `term.signal` goes on by itself.
   *
   * A callback of the term that awaits this call says that it is done: the key is given up as soon as all that was
   * registered with the term is over, and then the call resolves.
   */
  close(): Promise<void> {
    this.#callers.count('end');
    return this.#close('closed');
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /**
   * Who leads now: a linearizable read. Callers at the same time share one; at most 20 reads a second are made.
   *
   * @throws {UnavailableError} if etcd does not answer within 2.5 s.
   * @throws {RefusedError} if etcd refuses, or the client is closed.
   * @throws {ElectionClosedError} after `close()`.
   */
  leader(): Promise<Leader | undefined> {
    this.#callers.count('read');
    return this.#read(method('leader')).then(({ candidates }) => candidates[0] && this.#see(candidates[0]));
  }

  /** All candidates in order of the queue; the first one leads. Read, shared and refused as {@link leader} is. */
  candidates(): Promise<Candidate[]> {
    this.#callers.count('read');
    return this.#read(method('candidates')).then(({ candidates }) => candidates.map(this.#see));
  }

  /**
   * Who leads, from now on: the present state first, then every change. Needs no candidacy.
   *
   * It yields the leader; `undefined` if nobody leads; and `null` if it is not known who leads, because etcd has confirmed
   * nothing for one TTL of this election, or because the leader would be ourselves and our lease has run out. It heals
   * itself after any outage, and then yields what is true again. A reader who is slow gets the newest state, not all in
   * between. It ends with the signal and with `close()`.
   *
   * What it shows may be old by up to one TTL: it is no permission to act, and no source of a fencing token.
   *
   * @throws {RefusedError} from the iteration, if etcd refuses for good or the client is closed.
   */
  observe(options: { signal?: AbortSignal | undefined } = {}): AsyncGenerator<Observed, void, void> {
    this.#callers.count('read');
    const asked = checkSignal(options, this.name);
    const over = new AbortController();
    const { electionKeys, transport, sharedWatch, refusalBackoff, settings, eventLog, report } = this.#tools;
    const leaders = observeLeader({
      electionKeys,
      transport,
      sharedWatch,
      noticeWithinMs: Math.max(settings.ttlSeconds, SHORTEST_TTL_SECONDS) * 1000,
      over,
      until: asked === undefined ? [this.#closing] : [this.#closing, asked],
      begin: (signal) =>
        this.#callers.iteration(leaders, signal, (count) =>
          eventLog.report({ type: 'observers.many', election: this.name, count }),
        ),
      mayWatch: (signal) => this.#callers.watch(signal),
      refusal: new Refusal(refusalBackoff, (reason, forMs) => report.refused(reason, forMs)),
      refused: (fault) => readError(this.name, fault),
      see: (candidate) =>
        this.#last?.isLeaseLost === true && candidate.key === this.#last.ownKey
          ? undefined
          : this.#see(candidate),
      onLeaseLost: (listener) => {
        this.#leaseLosses.add(listener);
        return () => this.#leaseLosses.delete(listener);
      },
    });
    return endsAtOnce(leaders, over, () => this.#callers.idle(observeLeader));
  }

  /** What we know without asking etcd. */
  get status(): ElectionStatus {
    this.#callers.look();
    const guard = this.#guard.status(this.#tools.settings.guard);
    return statusOf(this.name, this.#campaign, this.#closedBecause !== undefined, guard);
  }

  /** Whether a supervisor should worry: for liveness and readiness probes. Asks nobody. */
  health(): ElectionHealth {
    this.#callers.look();
    const campaign = this.#campaign;
    const term = campaign?.state === 'leading' ? campaign.currentTerm : undefined;
    const { progressTimeoutMs, drainTimeoutMs } = this.#tools.settings;
    // Callbacks may outlive their campaign.
    const callbacks = this.#last?.callbacks;
    return healthOf({
      standing: campaign !== undefined && !campaign.isStopping,
      notStanding: this.#notStanding,
      term:
        term === undefined || term.isOver
          ? undefined
          : {
              remainingMs: term.remainingMs(),
              quietMs: clock.now() - term.heartbeatAtMs,
              isWorking: term.work.isWorking,
            },
      progressTimeoutMs,
      workOverdueMs: callbacks?.workOverdueMs ?? 0,
      followingMs: callbacks?.followingMs ?? 0,
      drainTimeoutMs,
      refusal: campaign?.refusal ?? this.#refused,
    });
  }

  /** Starts a campaign, or says why not: through the guard, because a refusal that comes at once makes loops hot. */
  #stand<T>(
    value: string | undefined,
    {
      callbacks,
      calledFrom,
      ifFree,
    }: { callbacks: Callbacks; calledFrom: readonly string[]; ifFree: boolean },
    then: (campaign: Campaign) => Promise<T>,
  ): Promise<T> {
    let announced = value;
    let letGo: () => void;
    try {
      if (this.#closedBecause !== undefined) throw this.#closedBecause;
      if (announced === undefined) announced = ownName();
      checkValue(announced, this.name);
      letGo = this.#claim();
    } catch (error) {
      return this.#refuse(error as ElectionError, calledFrom);
    }
    this.#notStanding = undefined;
    const active = this.#campaigns.at(this.#campaignKey);
    const campaign = new Campaign(this.#tools, callbacks, {
      value: announced,
      calledFrom,
      after: active.previousCallbacks,
      ifFree,
    });
    this.#campaign = campaign;
    this.#refused = undefined;
    this.#last = campaign;
    live.add(this);
    void campaign.ended.then(() => {
      this.#refused = campaign.refusal;
      this.#campaign = undefined;
      live.delete(this);
      letGo();
    });
    const previousCallbacks = campaign.settled.then(() => {
      if (active.previousCallbacks === previousCallbacks) active.previousCallbacks = undefined;
      this.#campaigns.forget(this.#campaignKey);
    });
    active.previousCallbacks = previousCallbacks;
    return then(campaign);
  }

  /** @returns how to free it. @throws {AlreadyStandingError} */
  #claim(): () => void {
    const refuse = (why: string): never => {
      throw new AlreadyStandingError(this.name, `election "${this.name}" ${why}`);
    };
    const active = this.#campaigns.at(this.#campaignKey);
    if (active.isTaken)
      refuse('already has a candidate on this client and TTL: use that Election, or close it first');
    const over = this.#guard.admitCampaign();
    if (over === undefined)
      return refuse('is one too many for this process: a loop makes clients, or names, and awaits nothing');
    active.isTaken = true;
    return () => {
      active.isTaken = false;
      this.#campaigns.forget(this.#campaignKey);
      over();
    };
  }

  /** @param calls the function that was called. */
  async #end(reason: StopCause, calls: PublicFunction): Promise<void> {
    const campaign = this.#campaign;
    if (campaign === undefined) return await this.#callers.idle(calls);
    campaign.stop(reason, this.#endedError(reason));
    const awaiting = await overUnlessAwaited(campaign.ended, this.#frames);
    if (awaiting === undefined || reason === 'resigned') return;
    // The callback has said that it is done, unless it awaits other things too.
    if (awaiting.isAlone) campaign.callbacks.excuse(awaiting.frame);
    await campaign.ended;
  }

  async #unlessAwaited(over: Promise<void>): Promise<void> {
    await overUnlessAwaited(over, this.#frames);
  }

  /**
   * Goes on when the callbacks of an earlier term are out of the way. Where one of them awaits this, it would wait for
   * itself: that wait is refused.
   */
  #afterCallbacks<T>(done: Promise<void>, go: () => Promise<T>, calls: PublicFunction): Promise<T> {
    return unheard(async () => {
      const awaiting = await overUnlessAwaited(done, this.#frames);
      if (awaiting === undefined) return await go();
      void done.then(() => void go().catch(() => undefined)); // what was asked for comes all the same
      return await this.#refuseSelfWait('campaign', callSite(calls));
    });
  }

  /** A refusal may go unheard: the log has it too, once until we stand, and `health()`. */
  #refuse(error: ElectionError, calledFrom: readonly string[], isFree = false): Promise<never> {
    if (!(error instanceof ElectionClosedError) && this.#notStanding !== error.message) {
      this.#notStanding = error.message;
      this.#tools.eventLog.report({ type: 'campaign.refused', election: this.name, error });
    }
    return this.#callers.refuse(error, calledFrom, isFree);
  }

  /**
   * The first time in a term the refusal comes at once: the end of the term waits for the callback that awaits it, and the
   * term itself has passed the guard.
   */
  #refuseSelfWait(call: 'campaign' | 'lead', calledFrom: readonly string[]): Promise<never> {
    const { term } = this.#tools.last;
    const isFree = term !== undefined && term !== this.#selfWaitIn;
    this.#selfWaitIn = term;
    const error = new AlreadyStandingError(
      this.name,
      `${call}() of election "${this.name}" would wait for itself: a callback awaits it whose own term has ended. ` +
        'Return from the callback; a campaign stands again by itself then, and after term.stepDown() as well',
    );
    return this.#refuse(error, calledFrom, isFree);
  }

  #close(reason: 'closed' | 'aborted'): Promise<void> {
    this.#closedBecause ??= this.#endedError(reason);
    this.#offSignal?.();
    this.#closingAbort?.abort(this.#closedBecause);
    return this.#end(reason, method('close')).finally(() => this.#tools.transport.rest());
  }

  readonly #see = (candidate: Queued): Candidate => seen(candidate, this.#last?.ownKey);

  /** How long `observe()` and reads may last at most; made when it is asked for. */
  get #closing(): AbortSignal {
    if (this.#closingAbort === undefined) {
      this.#closingAbort = sharedAbort();
      if (this.#closedBecause !== undefined) this.#closingAbort.abort(this.#closedBecause);
    }
    return this.#closingAbort.signal;
  }

  #endedError(reason: StopCause): ElectionClosedError {
    const how = reason === 'aborted' ? 'its signal aborted' : `it was ${reason}`;
    return new ElectionClosedError(this.name, `no longer standing in election "${this.name}": ${how}`);
  }

  #read(calls: PublicFunction): Promise<Snapshot> {
    return this.#closedBecause === undefined
      ? this.#reader.read(this.#closing)
      : this.#callers.refuse(this.#closedBecause, callSite(calls));
  }
}

/** A method as it is found on the stack, to tell who called it. */
const method = (
  name: 'campaign' | 'lead' | 'stepDown' | 'resign' | 'close' | 'leader' | 'candidates',
): PublicFunction => Election.prototype[name];
