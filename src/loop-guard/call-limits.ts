/**
 * The one entry point through which every public function of an election and its terms passes. It holds what costs no round
 * of a campaign: a refusal, an answer that is there already, nothing to do, a read, an iteration, a failed write. Each
 * could be had as fast as a caller can ask: that is what makes loops hot.
 */
import { callSite, type PublicFunction } from './call-site.ts';
import { clientCallsOf, type ClientCalls } from './client-calls.ts';
import type { Origin } from '../core/campaign-state.ts';
import {
  AlreadyStandingError,
  LeadershipLostError,
  UnavailableError,
  type ElectionError,
} from '../errors.ts';
import { keyOf, type ElectionScope } from './guard-key.ts';
import { iterationsOf } from './iterations.ts';
import { guardOf, type GuardListener, type GuardSettings } from './loop-guard.ts';
import { knownSingleFlightOf, singleFlightOf } from './single-flight.ts';
import {
  CALLS_PER_TURN,
  countLook,
  countSyncCall,
  Flood,
  refusals,
  termRefusals,
  turnOfTheLoop,
  WRITES_PER_TURN,
} from './sync-flood.ts';
import { clock } from '../util/clock.ts';
import { unheard } from '../util/deferred.ts';

/** Reads: 20 a second if the caller pauses between them. Without a pause the delay grows up to 1 s. */
const READS: GuardSettings = { burst: 20, baseMs: 50, capMs: 1_000, outsideCapMs: 1_000, healthyAfterMs: 50 };

/** Calls of one `campaign()` that may wait for its term; each costs memory as long as it waits. */
const MOST_ASKING = 1_000;

/** Writes of one election that may be under way at once; each costs memory as long as it waits. */
const MOST_WRITES = 10_000;

/**
 * - `register`: what work registers with its term.
 * - `fail`: calls of a term that fail without asking etcd.
 * - `build`: transactions that are made, whether they are committed or not.
 */
export type CallKind = 'stand' | 'end' | 'read' | 'observe' | 'register' | 'fail' | 'write' | 'build';

/**
 * Every kind of call has its own count, so that a flood of `campaign()` calls does not block `close()`. `perTurn` limits the
 * calls of one election in one turn of the event loop. `flood` limits the calls of the whole process before the thread
 * sleeps. It allows more calls than a busy service makes with one call per request.
 */
const LIMITS: Record<CallKind, { readonly perTurn: number; readonly flood: Flood }> = {
  stand: { perTurn: CALLS_PER_TURN, flood: new Flood(20_000, 5_000) },
  end: { perTurn: CALLS_PER_TURN, flood: new Flood(20_000, 500) },
  read: { perTurn: CALLS_PER_TURN, flood: new Flood(20_000, 5_000) },
  observe: { perTurn: CALLS_PER_TURN, flood: new Flood(10_000, 500) },
  register: { perTurn: WRITES_PER_TURN, flood: new Flood(20_000, 5_000) },
  fail: { perTurn: CALLS_PER_TURN, flood: new Flood(20_000, 500) },
  write: { perTurn: WRITES_PER_TURN, flood: new Flood(20_000, 5_000) },
  build: { perTurn: WRITES_PER_TURN, flood: new Flood(20_000, 5_000) },
};

/** What answers that cost no round of a campaign wait for: each has a guard of its own for each election. */
type Answer = 'refusals' | 'failures' | 'repeats' | 'idle';

export class CallLimiter {
  readonly #scope: ElectionScope;
  readonly #settings: Record<Answer, GuardSettings>;
  readonly #listener: GuardListener;
  #asking = 0;
  #writes = 0;

  /** @param scope what all objects of this election share in this process. */
  constructor(scope: ElectionScope, settings: GuardSettings, listener: GuardListener) {
    this.#scope = scope;
    // An honest caller must not wait for half a minute for an answer that costs nothing.
    const cheap = { ...settings, capMs: settings.outsideCapMs };
    // At the end of a term, calls that fail must not hold up the drain.
    const failing = { ...cheap, healthyAfterMs: settings.outsideCapMs };
    this.#settings = { refusals: settings, failures: failing, repeats: cheap, idle: cheap };
    this.#listener = listener;
  }

  get #election(): string {
    return this.#scope.election;
  }

  /**
   * Every public call begins here.
   *
   * @throws {RunawayLoopError} if a loop never lets the event loop turn.
   */
  count(kind: CallKind): void {
    const { perTurn, flood } = LIMITS[kind];
    countSyncCall(keyOf(this.#scope, kind), this.#election, perTurn);
    flood.count(clock.now());
  }

  /** Every public call that gives an answer of memory and makes garbage begins here. @throws {RunawayLoopError} */
  look(): void {
    countLook(this.#election);
  }

  /** Waits as long as calls with such an answer must. The guard is made when it is needed: most elections never need one. */
  async #pass(answer: Answer, calledFrom: readonly string[] | undefined, origin?: Origin): Promise<void> {
    const listener = answer === 'idle' ? this.#unlessTold() : this.#listener;
    const options = { calledFrom, listener, origin: origin ?? 'caller' };
    await singleFlightOf(this.#scope, answer).pass(this.#settings[answer], options);
  }

  /** Taken only where a loop may be under way: it costs more than all the rest. */
  #calledFrom(answer: Answer, calls: PublicFunction): readonly string[] | undefined {
    const flight = singleFlightOf(this.#scope, answer);
    return flight.isHolding || flight.isFresh ? undefined : callSite(calls);
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
    const turn = turnOfTheLoop();
    let answer: Promise<T>;
    try {
      if (this.#writes >= MOST_WRITES)
        throw this.#tooMany(`${MOST_WRITES} writes of election "${this.#election}" are under way already`);
      answer = act();
    } catch (error) {
      return this.fail(calls, error);
    }
    this.#writes++;
    const calledFrom = this.#calledFrom('failures', calls);
    return answer
      .catch((error: unknown) => {
        const isOfCaller = error instanceof LeadershipLostError;
        return this.#failed(error, calledFrom, turn, isOfCaller ? 'caller' : 'environment');
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
    return unheard(async () => {
      let registered: Promise<T>;
      try {
        registered = act();
      } catch (error) {
        return await this.fail(calls, error);
      }
      try {
        return await registered;
      } finally {
        await untilTurnAfter(turn);
      }
    });
  }

  /**
   * A call of a term fails, and that is known without asking etcd: rejects after its delay, and never without a timer.
   *
   * @throws {RunawayLoopError} at once, if a loop never lets the event loop turn.
   */
  fail(calls: PublicFunction, error: unknown): Promise<never> {
    this.count('fail');
    return this.#failed(error, this.#calledFrom('failures', calls), turnOfTheLoop());
  }

  /** A term is over. The drain waits for its failed calls, so they are held no longer. */
  termOver(): void {
    knownSingleFlightOf(this.#scope, 'failures')?.letGo(this.#settings.failures);
  }

  async #failed(
    error: unknown,
    calledFrom: readonly string[] | undefined,
    turn: number,
    origin?: Origin,
  ): Promise<never> {
    const isKnown = turn === turnOfTheLoop(); // without etcd: nothing has come in
    if (isKnown) termRefusals.count(clock.now());
    await this.#pass('failures', calledFrom, origin);
    if (isKnown) await clock.sleep(1);
    throw error;
  }

  /**
   * Rejects with the error: after its delay, and never without a turn of the event loop.
   *
   * @param isFree without the delay: what is refused has passed another guard.
   */
  refuse(error: ElectionError, calledFrom?: readonly string[], isFree = false): Promise<never> {
    refusals.count(clock.now());
    return unheard(async () => {
      if (!isFree) {
        await this.#pass('refusals', calledFrom);
        await this.idleOfClient();
      }
      await clock.sleep(1);
      throw error;
    });
  }

  #tooMany(what: string): UnavailableError {
    return new UnavailableError(this.#election, `${what}; wait until some of them are over`);
  }

  /** An answer that is there already: at once, unless it is asked for in a loop. */
  repeat<T>(calls: PublicFunction, answer: () => Promise<T>): Promise<T> {
    const calledFrom = this.#calledFrom('repeats', calls);
    if (this.#asking >= MOST_ASKING) {
      const many = `${MOST_ASKING} calls of campaign() wait for a term of election "${this.#election}" already`;
      const advice = 'call it once: it stands again by itself after every loss';
      return this.refuse(new AlreadyStandingError(this.#election, `${many}; ${advice}`), calledFrom);
    }
    this.#asking++;
    return unheard(async () => {
      try {
        await this.#pass('repeats', calledFrom);
        return await answer();
      } finally {
        this.#asking--;
      }
    });
  }

  /**
   * There is nothing to do: a loop that does nothing waits as any other. Not even the first time is it over within the
   * turn in which it was called: a loop may make a new election each time.
   *
   * @param calls the function that was called.
   */
  async idle(calls: PublicFunction): Promise<void> {
    const turn = turnOfTheLoop();
    await this.#pass('idle', this.#calledFrom('idle', calls));
    await this.idleOfClient();
    await untilTurnAfter(turn);
  }

  /** What asks nothing of etcd waits for others on the same endpoints too: a loop may take another name each turn. */
  async idleOfClient(): Promise<void> {
    await clientCallsOf(this.#scope).idle();
  }

  /** Of a loop that the election's own guard has told of nobody else need speak. */
  #unlessTold(): GuardListener | undefined {
    const { state } = guardOf(this.#scope, 'campaign').status(this.#settings.refusals);
    return state === 'open' ? this.#listener : undefined;
  }

  /**
   * A read: waits for its turn in the election's budget and the client's.
   *
   * @returns what to call when it is over.
   */
  read(signal: AbortSignal): Promise<() => void> {
    return this.#begin(signal, { guard: guardOf(this.#scope, 'reads'), settings: READS });
  }

  /**
   * An observer begins to read and watch: waits for its turn in the client's budget.
   *
   * @returns what to call when the first answer is there.
   */
  watch(signal: AbortSignal): Promise<() => void> {
    return this.#begin(signal);
  }

  async #begin(...args: Parameters<ClientCalls['begin']>): Promise<() => void> {
    const end = await clientCallsOf(this.#scope).begin(...args);
    const why = `election "${this.#election}" cannot be read now: too many reads wait already`;
    return end ?? (await this.refuse(this.#tooMany(why)));
  }

  /**
   * An iteration begins; one that would end at once takes its time.
   *
   * @param closing ends its wait, and nothing else does: a loop must not go round faster by ending what is held.
   * @returns what to call when it ends.
   */
  async iteration(
    iterates: { readonly next: PublicFunction },
    { isEmpty, closing }: { readonly isEmpty: boolean; readonly closing: AbortSignal },
    onMany: (count: number) => void,
  ): Promise<() => void> {
    const options = {
      signal: isEmpty ? undefined : closing,
      calledFrom: callSite(iterates.next),
      listener: this.#unlessTold(),
    };
    const end = await iterationsOf(this.#scope).begin(options, isEmpty, onMany);
    const why = `too many iterations over the leaders of election "${this.#election}" are open already`;
    return end ?? (await this.refuse(this.#tooMany(why)));
  }

  /** `next()` of an iteration for which too many others wait already. @throws {RunawayLoopError} */
  tooManyAsked(calls: PublicFunction, asked: number): Promise<never> {
    this.count('observe');
    const why = `${asked} calls of next() wait for the leader of election "${this.#election}" already`;
    return this.refuse(this.#tooMany(why), callSite(calls));
  }
}

/** Resolves at once, unless the event loop has not turned since. */
async function untilTurnAfter(turn: number): Promise<void> {
  if (turn === turnOfTheLoop()) await clock.sleep(1);
}
