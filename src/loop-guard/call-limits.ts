/**
 * Counts and delays the public calls of an election and its terms. A call with a cheap answer is delayed, because a loop could
 * repeat it without end. These calls have a cheap answer: refused calls, failed writes, reads, iterations, repeated calls of
 * `campaign()`, and calls with nothing to do.
 *
 * `heartbeat()` and most properties are not counted, because they cost almost nothing. `isCurrent()` and
 * `remainingMs()` are counted only while no term is current.
 */
import { callSite, type CalledFrom, type PublicFunction } from './call-site.ts';
import { endpointCallsOf, type EndpointCalls } from './endpoint-calls.ts';
import type { Origin } from '../core/campaign-state.ts';
import {
  AlreadyStandingError,
  LeadershipLostError,
  UnavailableError,
  type ElectionError,
} from '../errors.ts';
import type { ElectionScope } from './guard-key.ts';
import { iterationsOf } from './iterations.ts';
import { electionGuard, type GuardListener, type GuardSettings } from './loop-guard.ts';
import { knownSharedDelayOf, sharedDelayOf } from './shared-delay.ts';
import { countPublicCall, type CallKind } from './public-calls.ts';
import { countLook, refusals, termRefusals, eventLoopTurn } from './sync-flood.ts';
import { clock } from '../util/clock.ts';
import { unheard } from '../util/deferred.ts';

/** Reads: the first 20 are not delayed. Then the delays grow up to 1 s. Every pause of 50 ms forgives one read. */
const READS: GuardSettings = { burst: 20, baseMs: 50, capMs: 1_000, outsideCapMs: 1_000, healthyAfterMs: 50 };

/** How many `campaign()` calls of one campaign may wait for its term. Each costs memory. */
const MOST_ASKING = 1_000;

/** How many writes of one election may be under way at once. Each costs memory. */
const MOST_WRITES = 10_000;

/**
 * The kinds of cheap answers. Calls with the same kind of answer share a guard in each election.
 * - `refusals`: the library refuses the call.
 * - `failures`: a call of a term fails.
 * - `repeats`: `campaign()` while a campaign runs.
 * - `idle`: there is nothing to do.
 */
type CheapAnswer = 'refusals' | 'failures' | 'repeats' | 'idle';

/** When a call began: in which turn of the event loop, and at which time, in milliseconds. */
interface Begun {
  readonly turn: number;
  readonly atMs: number;
}

const begunNow = (): Begun => ({ turn: eventLoopTurn(), atMs: clock.now() });

export class CallLimiter {
  readonly #scope: ElectionScope;
  readonly #settings: Record<CheapAnswer, GuardSettings>;
  readonly #listener: GuardListener;
  #asking = 0;
  #writes = 0;

  /** @param scope identifies the election in this process, across `Election` objects. */
  constructor(scope: ElectionScope, settings: GuardSettings, listener: GuardListener) {
    this.#scope = scope;
    // Only refusals keep the high cap. Ordinary callers get the other answers too, and must not wait long.
    const cheap = { ...settings, capMs: settings.outsideCapMs };
    // The guard forgives a failed call after `outsideCapMs` milliseconds without failures. So earlier failures seldom delay a drain.
    const failing = { ...cheap, healthyAfterMs: settings.outsideCapMs };
    this.#settings = { refusals: settings, failures: failing, repeats: cheap, idle: cheap };
    this.#listener = listener;
  }

  get #election(): string {
    return this.#scope.election;
  }

  /** @throws {RunawayLoopError} if a loop never lets the event loop turn. */
  count(kind: CallKind): void {
    countPublicCall(this.#scope, kind);
  }

  /** Counts a call that is answered from memory. @throws {RunawayLoopError} if a loop never lets the event loop turn. */
  countLook(): void {
    countLook(this.#election);
  }

  async #pass(
    answer: CheapAnswer,
    calledFrom: readonly string[] | undefined,
    origin?: Origin,
    begunAtMs?: number,
  ): Promise<void> {
    const listener = answer === 'idle' ? this.#listenerUnlessReported() : this.#listener;
    const options = { calledFrom, listener, origin: origin ?? 'caller', begunAtMs };
    await sharedDelayOf(this.#scope, answer).pass(this.#settings[answer], options);
  }

  /** Takes a stack trace only if a loop is likely, because a trace is expensive. */
  #calledFrom(answer: CheapAnswer, method: CalledFrom): readonly string[] | undefined {
    const delay = sharedDelayOf(this.#scope, answer);
    return delay.isHolding || delay.isFresh ? undefined : callSite(method);
  }

  /**
   * Runs a call of a term that asks etcd, and delays its failure. A failure known without etcd also waits for a timer,
   * so that the event loop turns.
   *
   * @param act begins the call. It throws at once if the call fails without asking etcd.
   * @param isShut called after a failure: whether such calls are refused from now on. If so, the next call is delayed
   *   instead of this one.
   * @throws {RunawayLoopError} at once, if a loop never lets the event loop turn.
   */
  write<T>(method: PublicFunction, act: () => Promise<T>, isShut = (): boolean => false): Promise<T> {
    this.count('write');
    const begun = begunNow();
    let answer: Promise<T>;
    try {
      if (this.#writes >= MOST_WRITES)
        throw this.#tooMany(`${MOST_WRITES} writes of election "${this.#election}" are under way already`);
      answer = act();
    } catch (error) {
      return this.fail(method, error);
    }
    this.#writes++;
    const calledFrom = this.#calledFrom('failures', method);
    return answer
      .catch((error: unknown) => {
        if (isShut()) throw error;
        const isOfCaller = error instanceof LeadershipLostError;
        return this.#failed(error, calledFrom, begun, isOfCaller ? 'caller' : 'environment');
      })
      .finally(() => {
        this.#writes--;
      });
  }

  /**
   * Runs work that is registered with a term. If the work ends in its first turn, a timer delays the answer, so that
   * the event loop turns.
   *
   * @param act begins the work. It throws at once if the work cannot begin.
   * @throws {RunawayLoopError} at once, if a loop never lets the event loop turn.
   */
  register<T>(method: PublicFunction, act: () => Promise<T>): Promise<T> {
    this.count('register');
    const turn = eventLoopTurn();
    return unheard(async () => {
      let registered: Promise<T>;
      try {
        registered = act();
      } catch (error) {
        return await this.fail(method, error);
      }
      try {
        return await registered;
      } finally {
        await untilTurnAfter(turn);
      }
    });
  }

  /**
   * Rejects a call of a term that fails without asking etcd, after the guard's delay and a timer.
   *
   * @throws {RunawayLoopError} at once, if a loop never lets the event loop turn.
   */
  fail(method: PublicFunction, error: unknown): Promise<never> {
    this.count('fail');
    return this.#failed(error, this.#calledFrom('failures', method), begunNow());
  }

  /**
   * A term is over, or takes no more writes. Failed calls that still wait get their answers now, because the drain
   * may wait for them.
   */
  termOver(): void {
    knownSharedDelayOf(this.#scope, 'failures')?.release(this.#settings.failures, this.#listener);
  }

  async #failed(
    error: unknown,
    calledFrom: readonly string[] | undefined,
    begun: Begun,
    origin?: Origin,
  ): Promise<never> {
    const isKnownWithoutEtcd = begun.turn === eventLoopTurn(); // an answer of etcd arrives in a later turn
    if (isKnownWithoutEtcd) termRefusals.count(clock.now());
    await this.#pass('failures', calledFrom, origin, begun.atMs);
    if (isKnownWithoutEtcd) await clock.sleep(1);
    throw error;
  }

  /**
   * Rejects with the error after the guard's delay, and always in a later event loop turn.
   *
   * @param isUndelayed skips the delay, for a call that a caller cannot make twice, such as the first self-wait of a term.
   */
  refuse(error: ElectionError, calledFrom?: readonly string[], isUndelayed = false): Promise<never> {
    refusals.count(clock.now());
    return unheard(async () => {
      if (!isUndelayed) {
        await this.#pass('refusals', calledFrom);
        await this.passEndpointLimit();
      }
      await clock.sleep(1);
      throw error;
    });
  }

  #tooMany(what: string): UnavailableError {
    return new UnavailableError(this.#election, `${what}; wait until some of them are over`);
  }

  /**
   * Answers a `campaign()` call that comes while a campaign runs. First, the guard may delay the call. After that, the call
   * waits for the term.
   */
  repeat<T>(method: CalledFrom, answer: () => Promise<T>): Promise<T> {
    const calledFrom = this.#calledFrom('repeats', method);
    if (this.#asking >= MOST_ASKING) {
      const many = `${MOST_ASKING} calls of campaign() wait for a term of election "${this.#election}" already`;
      const advice = 'call it once: the election enters again by itself after every loss';
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

  /** Delays a call that has nothing to do. The answer always comes in a later turn. */
  async idle(method: PublicFunction): Promise<void> {
    const turn = eventLoopTurn();
    await this.#pass('idle', this.#calledFrom('idle', method));
    await this.passEndpointLimit();
    await untilTurnAfter(turn);
  }

  /**
   * Waits for the limit of all elections on the same endpoints. This limit also slows a loop that uses another name in
   * every round.
   */
  async passEndpointLimit(): Promise<void> {
    await endpointCallsOf(this.#scope).idle();
  }

  /** The listener; undefined while the campaign guard delays rounds: it has usually reported the loop then. */
  #listenerUnlessReported(): GuardListener | undefined {
    const { state } = electionGuard(this.#scope, 'campaign').status(this.#settings.refusals);
    return state === 'open' ? this.#listener : undefined;
  }

  /**
   * Waits until a read may begin.
   *
   * @returns a function to call when the read is over.
   * @throws {UnavailableError} if too many reads already wait.
   */
  read(signal: AbortSignal): Promise<() => void> {
    return this.#beginRead(signal, { guard: electionGuard(this.#scope, 'reads'), settings: READS });
  }

  /**
   * Waits until an observer may begin to read and watch.
   *
   * @returns a function to call when the first answer has arrived.
   * @throws {UnavailableError} if too many reads already wait.
   */
  watch(signal: AbortSignal): Promise<() => void> {
    return this.#beginRead(signal);
  }

  async #beginRead(...args: Parameters<EndpointCalls['begin']>): Promise<() => void> {
    const end = await endpointCallsOf(this.#scope).begin(...args);
    const why = `election "${this.#election}" cannot be read now: too many reads wait already`;
    return end ?? (await this.refuse(this.#tooMany(why)));
  }

  /**
   * Waits until an iteration may begin.
   *
   * @param isEmpty whether the iteration will end at once.
   * @param closing the only signal that can end this wait, and only if the iteration is not empty. With the caller's own
   *   signal, a loop could end each wait and run faster.
   * @returns a function to call when the iteration ends.
   * @throws {UnavailableError} if too many iterations are open, or wait to begin.
   */
  async iteration(
    iterates: { readonly next: PublicFunction },
    { isEmpty, closing }: { readonly isEmpty: boolean; readonly closing: AbortSignal },
    onMany: (count: number) => void,
  ): Promise<() => void> {
    const options = {
      signal: isEmpty ? undefined : closing,
      calledFrom: callSite(iterates.next),
      listener: this.#listenerUnlessReported(),
    };
    const end = await iterationsOf(this.#scope).begin(options, isEmpty, onMany);
    const why = `too many iterations over the leaders of election "${this.#election}" are open, or wait to begin`;
    return end ?? (await this.refuse(this.#tooMany(why)));
  }

  /** Refuses a call of `next()`, because too many such calls wait already. @throws {RunawayLoopError} */
  refuseNext(method: PublicFunction, asked: number): Promise<never> {
    this.count('observe');
    const why = `${asked} calls of next() wait for the leader of election "${this.#election}" already`;
    return this.refuse(this.#tooMany(why), callSite(method));
  }
}

/** Resolves once the event loop has turned since the given turn. */
async function untilTurnAfter(turn: number): Promise<void> {
  if (turn === eventLoopTurn()) await clock.sleep(1);
}
