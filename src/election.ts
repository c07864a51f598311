/**
 * One election, as one replica sees it: the public face of everything under campaign/.
 */
import type { Etcd3 } from 'etcd3';
import { CampaignRunner } from './campaign/campaign-runner.ts';
import { campaignTools, endedError, type CampaignTools } from './campaign/campaign-tools.ts';
import { seen, type Candidate, type Leader } from './core/candidate.ts';
import { LeadWork, type LeadOptions } from './campaign/lead-work.ts';
import { observe, type Observed } from './campaign/observer.ts';
import { QueueReader } from './campaign/queue-reader.ts';
import { currentTermOf, statusOf, type ElectionStatus } from './campaign/status.ts';
import type { Candidate as Queued } from './core/candidate-queue.ts';
import { healthOf, type ElectionHealth } from './core/health.ts';
import type { ElectionError } from './errors.ts';
import type { Snapshot } from './etcd/election-keys.ts';
import { checkClient, checkName, checkSignal, shortName } from './input-checks.ts';
import type { CallLimiter } from './loop-guard/call-limits.ts';
import { callSite, type PublicFunction } from './loop-guard/call-site.ts';
import { countElection, countSyncCall } from './loop-guard/sync-flood.ts';
import { resolveOptions, type ElectionOptions, type Settings } from './options.ts';
import type { Term } from './term/term.ts';
import { onAbortWeakly } from './util/abort.ts';

const live = new Set<Election>();

/** The elections of this process in which a campaign runs at the moment. */
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
  readonly #tools: CampaignTools;
  readonly #callers: CallLimiter;
  readonly #runner: CampaignRunner;
  readonly #reader: QueueReader;
  #offSignal: (() => void) | undefined;
  static readonly #aborted = (election: Election): void => void election.#close('aborted'); // holds no election

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
    this.name = name;
    this.#tools = campaignTools(client, name, settings);
    this.#callers = this.#tools.callers;
    this.#runner = new CampaignRunner(this.#tools, (isStanding) =>
      isStanding ? live.add(this) : live.delete(this),
    );
    this.#reader = new QueueReader(this.#tools, this.#callers);
    const { signal } = settings;
    if (signal?.aborted === true) void this.#close('aborted');
    else if (signal !== undefined) this.#offSignal = onAbortWeakly(signal, this, Election.#aborted);
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
    return this.#runner.campaign(value, method('campaign'), () => this.campaign(value));
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
      if (lead.signal?.aborted === true) throw endedError(this.name, 'aborted');
    } catch (error) {
      return this.#runner.refuse(error as ElectionError, calledFrom);
    }
    return this.#runner.lead(lead, calledFrom);
  }

  /** The present term, as long as it is current: ask each time, and keep it for one act at most. */
  get currentTerm(): Term | undefined {
    this.#callers.look();
    return currentTermOf(this.#runner.current);
  }

  /** Whether we may act as leader at this moment. Compares the clock at the moment of the call; never trusts a timer. */
  isCurrent(): boolean {
    this.#callers.look();
    return currentTermOf(this.#runner.current) !== undefined;
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
    return this.#runner.stepDown(method('stepDown'));
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
    return this.#runner.end('resigned', method('resign'));
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
    this.#callers.count('observe');
    const asked = checkSignal(options, this.name);
    return observe(this.#tools, {
      closing: this.#runner.closing,
      asked,
      see: (candidate) => {
        const { last } = this.#runner;
        return last?.isLeaseLost === true && candidate.key === last.ownKey ? undefined : this.#see(candidate);
      },
    });
  }

  /** What we know without asking etcd. */
  get status(): ElectionStatus {
    this.#callers.look();
    const { guard, settings } = this.#tools;
    const isClosed = this.#runner.closedError !== undefined;
    return statusOf(this.name, this.#runner.current, isClosed, guard.status(settings.guard));
  }

  /** Whether a supervisor should worry: for liveness and readiness probes. Answers from memory. */
  health(): ElectionHealth {
    this.#callers.look();
    return healthOf(this.#runner.healthFacts);
  }

  readonly #see = (candidate: Queued): Candidate => seen(candidate, this.#runner.last?.ownKey);

  #close(reason: 'closed' | 'aborted'): Promise<void> {
    this.#offSignal?.();
    return this.#runner.close(reason, method('close'));
  }

  #read(calls: PublicFunction): Promise<Snapshot> {
    const { closedError } = this.#runner;
    return closedError === undefined
      ? this.#reader.read(this.#runner.closing)
      : this.#callers.refuse(closedError, callSite(calls));
  }
}

/** A method as it is found on the stack, to tell who called it. */
const method = (
  name: 'campaign' | 'lead' | 'stepDown' | 'resign' | 'close' | 'leader' | 'candidates',
): PublicFunction => Election.prototype[name];
