/** `Election`: the public interface to one election. It delegates to campaign/. */
import type { Etcd3 } from 'etcd3';
import { CampaignRunner } from './campaign/campaign-runner.ts';
import { campaignTools, endedError, type CampaignTools } from './campaign/campaign-tools.ts';
import { seen, type Candidate, type Leader } from './core/candidate.ts';
import { LeadWork, type LeadOptions } from './campaign/lead-work.ts';
import { observe, type Observed } from './campaign/observer.ts';
import { QueueReader } from './campaign/queue-reader.ts';
import { tellTimedOut, tellUncalled } from './campaign/unusual-usage.ts';
import { currentTermOf, noteCheck, statusOf, type ElectionStatus } from './campaign/status.ts';
import type { QueuedCandidate } from './core/candidate-queue.ts';
import { healthOf, type ElectionHealth } from './core/health.ts';
import type { ElectionError } from './errors.ts';
import type { Snapshot } from './etcd/election-keys.ts';
import { checkSignal, shortName } from './input-checks.ts';
import type { CallLimiter } from './loop-guard/call-limits.ts';
import { callSite, type PublicFunction } from './loop-guard/call-site.ts';
import { countElection } from './loop-guard/sync-flood.ts';
import { noteCampaign, unmarkedElection } from './election-registry.ts';
import type { ElectionOptions } from './options.ts';
import type { Term } from './term/term.ts';
import { isTimeout, onAbortWeakly } from './util/abort.ts';
import { noteReadUncalled } from './util/read-uncalled.ts';

/** One election, as seen by one replica. In a loop that never lets the event loop turn, calls throw {@link RunawayLoopError}. */
export class Election implements AsyncDisposable {
  readonly name: string;
  readonly #tools: CampaignTools;
  readonly #callers: CallLimiter;
  readonly #runner: CampaignRunner;
  readonly #reader: QueueReader;
  #offSignal: (() => void) | undefined;
  /** Static, because a closure would keep the election in memory as long as the signal lives. */
  static readonly #aborted = (election: Election): void => {
    const { settings, report } = election.#tools;
    const isCurrent = currentTermOf(election.#runner.current) !== undefined; // `isCurrent()` may throw in a loop
    if (isCurrent && isTimeout(settings.signal?.reason)) tellTimedOut(report, election.name);
    void election.#close('aborted');
  };

  static {
    noteReadUncalled(this.prototype, 'isCurrent', (election) =>
      tellUncalled(election.#tools.report, election.name, 'election'),
    );
  }

  /**
   * Sets up an election. Sends nothing to etcd.
   *
   * @param client your own client. The election never closes or changes it.
   * @param name candidates with the same name compete with each other. Well-formed Unicode of at most 1 KiB in UTF-8; not
   *   empty, without `/` or NUL, without blanks at its edges. It must not contain the text of an unset variable (`undefined`,
   *   `null`, `NaN`, `[object Object]`).
   * @throws {InvalidInputError} if an argument is not valid.
   * @throws {RunawayLoopError} if a loop constructs elections without ever letting the event loop turn.
   */
  constructor(client: Etcd3, name: string, options?: ElectionOptions) {
    countElection(shortName(name));
    this.name = name;
    this.#tools = campaignTools(client, name, options);
    this.#callers = this.#tools.callers;
    const unmarked = unmarkedElection({
      name,
      status: () => this.#status(),
      health: () => healthOf(this.#runner.healthFacts),
      stepDown: () => this.stepDown(),
    });
    const registered = { election: this, key: this.#tools.eventLog.key, unmarked };
    this.#runner = new CampaignRunner(this.#tools, (isStanding) =>
      noteCampaign(registered, isStanding, unmarked.health().reason),
    );
    this.#reader = new QueueReader(this.#tools);
    const { signal } = this.#tools.settings;
    if (signal?.aborted === true) void this.#close('aborted');
    else if (signal !== undefined) this.#offSignal = onAbortWeakly(signal, this, Election.#aborted);
  }

  /**
   * Starts a campaign, which enters the queue again after every loss. The promise need not be awaited. `resign()`, `close()`,
   * the `signal` option or a closed client ends the campaign. So does a refusal by etcd before the first entry.
   *
   * If a campaign already runs, the call resolves with the current or the next term. If the call has a new `value`, the
   * campaign announces it. The loop guard delays calls in quick succession. To look at the current term, read {@link status}.
   *
   * @param value announced to other replicas, at most 16 KiB. Default: IP address and process ID, as in `10.0.0.7:4711`.
   * @returns the first term, once we lead. Waits through any outage of etcd.
   * @throws {InvalidInputError} if the value is not a string, or too long.
   * @throws {AlreadyStandingError} if another `Election` of this name, prefix, client and TTL has a campaign, or `lead()` is
   *   running. Also if a callback of an ended term awaits this call, because the next term waits for that callback.
   * @throws {ElectionClosedError} if `resign()`, `close()` or the `signal` option ends the campaign before we lead.
   * @throws {RefusedError} if etcd refuses for good, or the client is closed.
   */
  campaign(value?: string): Promise<Term> {
    this.#callers.count('campaign');
    return this.#runner.campaign(value, method('campaign'));
  }

  /**
   * Waits until we lead, runs the work, resigns, and passes on the result or error of the work. Announces the default value of
   * {@link campaign}. Calls no callbacks of the options. If the term ends early, `term.signal` aborts, and the work should stop.
   *
   * @param options.ifFree skips the work if another candidate is already there, and resolves with `undefined`.
   * @throws the errors of the work and of {@link campaign}. If `options.signal` ends the wait: {@link ElectionClosedError}.
   */
  lead<T>(work: (term: Term) => Promise<T>, options: LeadOptions & { ifFree: true }): Promise<T | undefined>;
  lead<T>(work: (term: Term) => Promise<T>, options?: LeadOptions): Promise<T>;
  lead<T>(work: (term: Term) => Promise<T>, options: LeadOptions = {}): Promise<T | undefined> {
    this.#callers.count('campaign');
    const calledFrom = callSite(method('lead'));
    let lead: LeadWork<T>;
    try {
      lead = new LeadWork(this.name, work, options);
      if (lead.signal?.aborted === true) throw endedError(this.name, 'aborted');
    } catch (error) {
      return this.#runner.refuse(error as ElectionError, calledFrom);
    }
    return this.#runner.lead(lead, calledFrom);
  }

  /** The current term; undefined if we do not lead. Read it before every act: a stored term may have ended. */
  get currentTerm(): Term | undefined {
    noteCheck(this.#runner.current);
    const term = currentTermOf(this.#runner.current);
    if (term === undefined) this.#callers.countLook(); // throws in a synchronous loop that continues after the end of the term
    return term;
  }

  /** Whether we may act as leader at this moment. Compares the deadline with the clock on every call; uses no timer. */
  isCurrent(): boolean {
    return this.currentTerm !== undefined;
  }

  /**
   * Ends the term, and enters again at the end of the queue. Resolves when the work is over, `onFollower` has settled and the
   * key is deleted. This takes at most `drainTimeoutMs` plus one call to etcd. Never rejects. Does nothing if we do not lead.
   *
   * If a callback of the term awaits this call, the call resolves as soon as the term has ended. The key is deleted when the
   * callback has returned. `term.stepDown()` never waits.
   */
  stepDown(): Promise<void> {
    this.#callers.count('end');
    return this.#runner.stepDown(method('stepDown'));
  }

  /**
   * Ends the term and the campaign. Resolves like {@link stepDown}, within `drainTimeoutMs` plus two calls to etcd. Never
   * rejects. If etcd does not confirm the delete in time, the event `release.failed` reports it. `campaign()` may be called
   * again.
   *
   * A callback of the term may await this call, as it may await {@link stepDown}. `term.resign()` never waits.
   */
  resign(): Promise<void> {
    this.#callers.count('end');
    return this.#runner.end('resigned', method('resign'));
  }

  /**
   * Ends the term, the campaign and this election for good. Resolves like {@link resign}. Afterwards no timer, stream or
   * listener of this election is left. Work that ignores `term.signal` continues to run.
   *
   * A callback of the term may await this call. The library then no longer waits for it, unless the callback awaits other
   * promises in the same `Promise.all`. The call resolves when all else that the term waits for is over, and the key is gone.
   */
  close(): Promise<void> {
    this.#callers.count('end');
    return this.#close('closed');
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /**
   * Returns the present leader, by a linearizable read; undefined if there is none. Calls that are made before a read is sent
   * share the read. After a burst of 20, at most 20 reads a second are sent. In a lasting loop, the delay grows to one second
   * a read.
   *
   * @throws {UnavailableError} if etcd does not answer within 2.5 s of sending, or too many reads already wait.
   * @throws {RefusedError} if etcd refuses, or the client is closed.
   * @throws {ElectionClosedError} after `close()`.
   */
  leader(): Promise<Leader | undefined> {
    this.#callers.count('read');
    return this.#read(method('leader')).then(({ candidates }) => candidates[0] && this.#see(candidates[0]));
  }

  /** Returns all candidates in the order of the queue; the first one leads. Limits and errors: see {@link leader}. */
  candidates(): Promise<Candidate[]> {
    this.#callers.count('read');
    return this.#read(method('candidates')).then(({ candidates }) => candidates.map(this.#see));
  }

  /**
   * Follows the leader: yields the present leader, then every change. Works without a campaign. The iteration ends when the
   * signal aborts, and with `close()`.
   *
   * It yields `undefined` if there is no leader, and `null` if the leader is unknown. The leader is unknown if etcd has
   * confirmed nothing for one TTL of this election. It is also unknown if our candidate is first but our lease has expired.
   * After an outage the iteration recovers by itself. A slow reader gets the newest state and skips earlier states.
   *
   * The state may be up to one TTL old. Do not act as leader because of it, and take no fencing token from it.
   *
   * @throws {InvalidInputError} synchronously, if an option is not valid.
   * @throws {RefusedError} from the iteration, if etcd refuses for good or the client is closed.
   * @throws {UnavailableError} from the iteration, if too many iterations are open, or too many calls wait.
   */
  observe(options: { signal?: AbortSignal | undefined } = {}): AsyncGenerator<Observed, void, void> {
    this.#callers.count('observe');
    return observe(this.#tools, this.#runner, checkSignal(options, this.name));
  }

  /** The state of this replica, from memory. Compares the deadline with the clock. */
  get status(): ElectionStatus {
    this.#callers.countLook();
    noteCheck(this.#runner.current);
    return this.#status();
  }

  #status(): ElectionStatus & ReturnType<typeof statusOf> {
    const { guard, settings, transport } = this.#tools;
    const isClosed = this.#runner.closedError !== undefined;
    const status = statusOf(this.name, this.#runner.current, isClosed, guard.status(settings.guard));
    return { ...status, prefix: settings.prefix, clusterId: transport.clusterId };
  }

  /** The health of this replica, for liveness and readiness probes. Answers from memory. */
  health(): ElectionHealth {
    this.#callers.countLook();
    return healthOf(this.#runner.healthFacts);
  }

  readonly #see = (candidate: QueuedCandidate): Candidate => seen(candidate, this.#runner.last?.ownKey);

  #close(reason: 'closed' | 'aborted'): Promise<void> {
    this.#offSignal?.();
    return this.#runner.close(reason, method('close'));
  }

  #read(publicMethod: PublicFunction): Promise<Snapshot> {
    const { closedError } = this.#runner;
    return closedError === undefined
      ? this.#reader.read(this.#runner.closing)
      : this.#callers.refuse(closedError, callSite(publicMethod));
  }
}

/** The function of a public method. The loop guard finds the method's caller in the stack trace. */
const method = (
  name: 'campaign' | 'lead' | 'stepDown' | 'resign' | 'close' | 'leader' | 'candidates',
): PublicFunction => Election.prototype[name];
