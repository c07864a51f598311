/**
 * The one entry point through which every public function of an election and its terms passes. It holds what costs no round
 * of a campaign: a refusal, an answer that is there already, nothing to do, a read, an iteration, a failed write. Each
 * could be had as fast as a caller can ask: that is what makes loops hot.
 */
import { callSite, type PublicFunction } from './call-site.ts';
import {
  AlreadyStandingError,
  LeadershipLostError,
  UnavailableError,
  type ElectionError,
} from '../errors.ts';
import {
  CALLS_PER_TURN,
  countSyncCall,
  countLook,
  refusals,
  termRefusals,
  turnOfTheLoop,
  WRITES_PER_TURN,
} from './sync-flood.ts';
import type { ClientReads } from './client-reads.ts';
import { guardOf, type GuardListener, type GuardSettings } from './loop-guard.ts';
import { iterationsOf } from './iterations.ts';
import { keyOf, type ElectionScope } from './guard-key.ts';
import { clock } from '../util/clock.ts';
import { idleOfClient, singleFlightOf, type SingleFlight } from './single-flight.ts';

/** Reads: 20 a second for whoever pauses between them; who asks again at once waits longer and longer, up to 1 s. */
const READS: GuardSettings = { burst: 20, baseMs: 50, capMs: 1_000, outsideCapMs: 1_000, healthyAfterMs: 50 };

/** Calls with nothing to do, of all elections of a client: 300 at once, then fewer and fewer, down to one a second. */
const IDLE_OF_CLIENT: GuardSettings = {
  burst: 300,
  baseMs: 50,
  capMs: 1_000,
  outsideCapMs: 1_000,
  healthyAfterMs: 50,
};

/** Calls of one `campaign()` that may wait for its term; each costs memory as long as it waits. */
const MOST_ASKING = 1_000;

/** Writes of one election that may be under way at once; each costs memory as long as it waits. */
const MOST_WRITES = 10_000;

/**
 * - `register`: what work registers with its term.
 * - `fail`: calls of a term that fail without asking etcd.
 * - `build`: transactions that are made, whether they are committed or not.
 */
export type CallKind = 'stand' | 'end' | 'read' | 'register' | 'fail' | 'write' | 'build';

/**
 * Calls are counted apart by kind: whoever floods `campaign()` must still be able to `close()`. How many of each may
 * begin in one turn of the event loop.
 */
const PER_TURN: Record<CallKind, number> = {
  stand: CALLS_PER_TURN,
  end: CALLS_PER_TURN,
  read: CALLS_PER_TURN,
  register: WRITES_PER_TURN,
  fail: CALLS_PER_TURN,
  write: WRITES_PER_TURN,
  build: WRITES_PER_TURN,
};

export class CallLimiter {
  readonly #scope: ElectionScope;
  readonly #clientReads: ClientReads;
  readonly #settings: GuardSettings;
  /** For answers that cost nothing: an honest caller must not wait for half a minute. */
  readonly #cheap: GuardSettings;
  /** For calls of a term that fail: at the end of a term they must not hold up the drain. */
  readonly #failing: GuardSettings;
  readonly #listener: GuardListener;
  #asking = 0;
  #writes = 0;

  /** @param scope what all objects of this election share in this process. */
  constructor(
    scope: ElectionScope,
    clientReads: ClientReads,
    settings: GuardSettings,
    listener: GuardListener,
  ) {
    this.#clientReads = clientReads;
    this.#scope = scope;
    this.#settings = settings;
    this.#cheap = { ...settings, capMs: settings.outsideCapMs };
    this.#failing = { ...this.#cheap, healthyAfterMs: settings.outsideCapMs };
    this.#listener = listener;
  }

  get #election(): string {
    return this.#scope.election;
  }

  /** Found, or made, when it is needed: most elections of a client never need one. */
  #singleFlight(kind: 'refusals' | 'failures' | 'repeats' | 'idle'): SingleFlight {
    return singleFlightOf(this.#scope, kind);
  }

  /**
   * Every public call begins here, unless it begins with {@link write}.
   *
   * @throws {RunawayLoopError} if a loop never lets the event loop turn.
   */
  count(kind: CallKind): void {
    countSyncCall(keyOf(this.#scope, kind), this.#election, PER_TURN[kind]);
  }

  /** Every public call that gives an answer of memory and makes garbage begins here. @throws {RunawayLoopError} */
  look(): void {
    countLook(this.#election);
  }

  /**
   * A call of a term that asks etcd. Success costs what etcd takes for it. A failure reaches the caller after the
   * guard's delay; one that is known without etcd, never without a timer.
   *
   * @param calls the function that was called.
   * @param act begins the call; it throws at once what is known without asking etcd.
   * @throws {RunawayLoopError} at once, if a loop never lets the event loop turn.
   */
  write<T>(calls: PublicFunction, act: () => Promise<T>): Promise<T> {
    this.count('write');
    let answer: Promise<T>;
    try {
      if (this.#writes >= MOST_WRITES)
        throw new UnavailableError(
          this.#election,
          `${MOST_WRITES} writes of election "${this.#election}" are under way already; await some of them first`,
        );
      answer = act();
    } catch (error) {
      return this.fail(calls, error);
    }
    this.#writes++;
    const calledFrom = this.#calledFrom('failures', calls);
    const turn = turnOfTheLoop();
    return answer
      .catch(async (error: unknown): Promise<never> => {
        const isKnown = turn === turnOfTheLoop(); // without etcd: nothing has come in
        if (isKnown) termRefusals.count(clock.now());
        await this.#singleFlight('failures').pass(this.#failing, {
          origin: error instanceof LeadershipLostError ? 'caller' : 'environment',
          calledFrom,
          listener: this.#listener,
        });
        if (isKnown) await clock.sleep(1);
        throw error;
      })
      .finally(() => {
        this.#writes--;
      });
  }

  /**
   * Work that is registered with a term. It takes the time that it takes; what is over within the turn in which it began
   * is answered by a timer, so that a loop around it lets the event loop turn.
   *
   * @param act begins it; throws at once what is known before it begins.
   * @throws {RunawayLoopError} at once, if a loop never lets the event loop turn.
   */
  register<T>(calls: PublicFunction, act: () => Promise<T>): Promise<T> {
    this.count('register');
    const turn = turnOfTheLoop();
    let registered: Promise<T>;
    try {
      registered = this.#afterTurn(turn, act());
    } catch (error) {
      registered = this.fail(calls, error);
    }
    registered.catch(() => undefined); // un-awaited, it must not end the process
    return registered;
  }

  async #afterTurn<T>(turn: number, answer: Promise<T>): Promise<T> {
    try {
      return await answer;
    } finally {
      if (turn === turnOfTheLoop()) await clock.sleep(1);
    }
  }

  /**
   * A call of a term fails, and that is known without asking etcd: rejects after its delay, and never without a timer.
   *
   * @throws {RunawayLoopError} at once, if a loop never lets the event loop turn.
   */
  fail(calls: PublicFunction, error: unknown): Promise<never> {
    this.count('fail');
    termRefusals.count(clock.now());
    return this.#singleFlight('failures')
      .pass(this.#failing, { calledFrom: this.#calledFrom('failures', calls), listener: this.#listener })
      .then(() => clock.sleep(1))
      .then((): never => {
        throw error;
      });
  }

  /** Taken only where a loop may be under way: it costs more than all the rest. */
  #calledFrom(kind: 'failures' | 'repeats' | 'idle', calls: PublicFunction): readonly string[] | undefined {
    const flight = this.#singleFlight(kind);
    return flight.isHolding || flight.isFresh ? undefined : callSite(calls);
  }

  /**
   * Rejects with the error: after its delay, and never without a turn of the event loop.
   *
   * @param isFree without the delay: what is refused has passed another guard.
   */
  refuse(error: ElectionError, calledFrom?: readonly string[], isFree = false): Promise<never> {
    refusals.count(clock.now());
    const delay = isFree
      ? Promise.resolve()
      : this.#singleFlight('refusals').pass(this.#settings, { calledFrom, listener: this.#listener });
    const refusal = delay
      .then(() => clock.sleep(1))
      .then((): never => {
        throw error;
      });
    refusal.catch(() => undefined); // un-awaited, it must not end the process
    return refusal;
  }

  /** An answer that is there already: at once, unless it is asked for in a loop. */
  repeat<T>(calls: PublicFunction, answer: () => Promise<T>): Promise<T> {
    const repeats = this.#singleFlight('repeats');
    const calledFrom = this.#calledFrom('repeats', calls);
    if (this.#asking >= MOST_ASKING) {
      const many = `${MOST_ASKING} calls of campaign() wait for a term of election "${this.#election}" already`;
      const advice = 'call it once: it stands again by itself after every loss';
      return this.refuse(new AlreadyStandingError(this.#election, `${many}; ${advice}`), calledFrom);
    }
    this.#asking++;
    const answered = repeats
      .pass(this.#cheap, { calledFrom, listener: this.#listener })
      .then(answer)
      .finally(() => {
        this.#asking--;
      });
    answered.catch(() => undefined); // un-awaited, it must not end the process
    return answered;
  }

  /**
   * There is nothing to do: a loop that does nothing waits as any other. Not even the first time is it over within the
   * turn in which it was called: a loop may make a new election each time.
   *
   * @param calls the function that was called.
   */
  async idle(calls: PublicFunction): Promise<void> {
    const turn = turnOfTheLoop();
    const idle = this.#singleFlight('idle');
    await idle.pass(this.#cheap, {
      calledFrom: this.#calledFrom('idle', calls),
      listener: this.#unlessTold(),
    });
    await idleOfClient(this.#scope).pass(IDLE_OF_CLIENT, { listener: this.#unlessTold() });
    if (turn === turnOfTheLoop()) await clock.sleep(1);
  }

  /** Of a loop that the election's own guard has told of nobody else need speak. */
  #unlessTold(): GuardListener | undefined {
    const { state } = guardOf(this.#scope, 'campaign').status(this.#settings);
    return state === 'open' ? this.#listener : undefined;
  }

  /**
   * A read: waits for its turn in the election's budget and the client's.
   *
   * @returns what to call when it is over.
   */
  async read(signal: AbortSignal): Promise<() => void> {
    await guardOf(this.#scope, 'reads').pass('environment', READS, { signal });
    return await this.watch(signal);
  }

  /**
   * An observer begins to read and watch: waits for its turn in the client's budget.
   *
   * @returns what to call when the first answer is there.
   */
  async watch(signal: AbortSignal): Promise<() => void> {
    const end = await this.#clientReads.begin(signal);
    if (end !== undefined) return end;
    const why = `election "${this.#election}" cannot be read now: too many reads wait on this client already`;
    return await this.refuse(new UnavailableError(this.#election, `${why}; await some of them first`));
  }

  /** An iteration begins; one that would end at once takes its time. @returns what to call when it ends. */
  iteration(
    iterates: { readonly next: PublicFunction },
    signal: AbortSignal,
    onMany: (count: number) => void,
  ): Promise<() => void> {
    const isEmpty = signal.aborted;
    const options = {
      signal: isEmpty ? undefined : signal,
      calledFrom: callSite(iterates.next),
      listener: this.#unlessTold(),
    };
    return iterationsOf(this.#scope).begin(options, isEmpty, onMany);
  }
}
