/**
 * What a caller passes who gets no round of a campaign: a refusal, an answer that is there already, nothing to do,
 * a read, an iteration. None of them costs much, and each could be had as fast as one can ask: that is what makes
 * loops hot.
 */
import { callSite, type PublicFunction } from './call-site.ts';
import { AlreadyStandingError, type ElectionError } from '../errors.ts';
import { countCall, countRefusal } from './flood.ts';
import { guardOf, type GuardListener, type GuardSettings, type LoopGuard } from './guard.ts';
import { clock } from '../time.ts';
import { turnstileOf, type Turnstile } from './turnstile.ts';

/** Reads: 20 a second for whoever pauses between them; who asks again at once waits longer and longer, up to 1 s. */
const READS: GuardSettings = { burst: 20, baseMs: 50, capMs: 1_000, outsideCapMs: 1_000, healthyAfterMs: 50 };

/** Iterations that begin: a loop that breaks them off at once must not spin. */
const ITERATIONS: GuardSettings = {
  burst: 20,
  baseMs: 250,
  capMs: 5_000,
  outsideCapMs: 5_000,
  healthyAfterMs: 10_000,
};

/** Calls of one `campaign()` that may wait for its term; each costs memory as long as it waits. */
const MOST_ASKING = 1_000;

export class CallerGuard {
  readonly #key: string;
  readonly #election: string;
  readonly #settings: GuardSettings;
  /** For answers that cost nothing: an honest caller must not wait for half a minute. */
  readonly #cheap: GuardSettings;
  readonly #listener: GuardListener;
  #asking = 0;

  /** @param key what all objects of this election share in this process. */
  constructor(key: string, election: string, settings: GuardSettings, listener: GuardListener) {
    this.#key = key;
    this.#election = election;
    this.#settings = settings;
    this.#cheap = { ...settings, capMs: settings.outsideCapMs };
    this.#listener = listener;
  }

  /** Found, or made, when it is needed: most elections of a client never need one. */
  #turnstile(kind: 'refusals' | 'repeats' | 'idle'): Turnstile {
    return turnstileOf(`${this.#key}|${kind}`, this.#election);
  }

  #guard(kind: 'reads' | 'iterations'): LoopGuard {
    return guardOf(`${this.#key}|${kind}`, this.#election);
  }

  /**
   * Every public call begins here. Kinds are counted apart: whoever floods `campaign()` must still be able to
   * `close()`.
   *
   * @throws {RunawayLoopError} if a loop never lets the event loop turn.
   */
  count(kind: 'stand' | 'end' | 'read'): void {
    countCall(`${this.#key}|${kind}`, this.#election);
  }

  /** Rejects with the error: after its delay, and never without a turn of the event loop. */
  refuse(error: ElectionError, calledFrom?: readonly string[]): Promise<never> {
    countRefusal(clock.now());
    const refusal = this.#turnstile('refusals')
      .pass(this.#settings, { calledFrom, listener: this.#listener })
      .then(() => clock.sleep(1))
      .then((): never => {
        throw error;
      });
    refusal.catch(() => undefined); // un-awaited, it must not end the process
    return refusal;
  }

  /** An answer that is there already: at once, unless it is asked for in a loop. */
  repeat<T>(calls: PublicFunction, answer: () => Promise<T>): Promise<T> {
    const repeats = this.#turnstile('repeats');
    const calledFrom = repeats.isHolding ? undefined : callSite(calls); // it costs more than all the rest
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
   * There is nothing to do: the first few times at once; a loop that does nothing waits as any other.
   *
   * @param calls the function that was called.
   */
  async idle(calls: PublicFunction): Promise<void> {
    const idle = this.#turnstile('idle');
    const calledFrom = idle.isHolding ? undefined : callSite(calls);
    await idle.pass(this.#cheap, { calledFrom, listener: this.#unlessTold() });
  }

  /** Of a loop that the election's own guard has told of nobody else need speak. */
  #unlessTold(): GuardListener | undefined {
    const { state } = guardOf(this.#key, this.#election).status(this.#settings);
    return state === 'open' ? this.#listener : undefined;
  }

  async read(signal: AbortSignal): Promise<void> {
    await this.#guard('reads').pass('outside', READS, { signal });
  }

  /** An iteration begins; one that would end at once takes its time. */
  async iteration(iterates: PublicFunction, signal: AbortSignal): Promise<void> {
    const endsAtOnce = signal.aborted;
    await this.#guard('iterations').pass('own', ITERATIONS, {
      signal: endsAtOnce ? undefined : signal,
      calledFrom: callSite(iterates),
      listener: this.#unlessTold(),
    });
    if (endsAtOnce) await clock.sleep(1);
  }
}
