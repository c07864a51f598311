/**
 * The work of one `lead()`: waits for the term, runs once, and resigns.
 */
import { onAbort } from '../util/abort.ts';
import type { Campaign } from './campaign.ts';
import type { Handlers } from './callbacks.ts';
import { isObject, shown } from '../core/shown.ts';
import type { StopCause } from '../core/campaign-state.ts';
import { Deferred } from '../util/deferred.ts';
import { InvalidInputError } from '../errors.ts';
import { checkSignal, checkWork } from '../input-checks.ts';
import type { Term } from '../term/term.ts';
import { clock } from '../util/clock.ts';

/** Default of `atLeastMs`, in milliseconds. */
const HELD_AT_LEAST_MS = 5_000;
const LONGEST_HOLD_MS = 86_400_000;

export interface LeadOptions {
  /** When this signal aborts, the wait or the term ends. */
  signal?: AbortSignal | undefined;
  /**
   * Runs the work only if no other candidate is in the queue when this one enters. Otherwise `lead()` resolves with
   * `undefined` at once. Use it for jobs that every replica starts by its own timer, although one run is enough. If the other
   * candidate dies or loses its lease before it runs the work, nobody runs the work. If a second run does harm, also record
   * the run in etcd by a fenced write. Default: `false`.
   */
  ifFree?: boolean | undefined;
  /**
   * With `ifFree`: the shortest time for which the election is held, in milliseconds from the start of the term. If the
   * work ends sooner, `lead()` resolves after this time. Set a time longer than the largest difference between the timers of the
   * replicas. Otherwise a late replica finds the election free and runs the work again. A freeze, a slow start or a garbage
   * collection adds to that difference. Work that throws, `resign()`, `close()` and `signal` end the hold at once.
   * Default: 5 000. Range: 0 to 86 400 000.
   */
  atLeastMs?: number | undefined;
}

export class LeadWork<T> {
  readonly handlers: Handlers;
  readonly ifFree: boolean;
  readonly signal: AbortSignal | undefined;
  readonly #result = new Deferred<T>();
  #hasBegun = false;
  isDone = false;
  #stop: (reason: StopCause) => void = () => undefined;
  /** Tells the term that the work is done, so that no further heartbeats are needed. */
  #rest: () => void = () => undefined;

  /** @throws {InvalidInputError} */
  constructor(election: string, work: (term: Term) => Promise<T>, options: LeadOptions) {
    checkWork(work, election);
    this.signal = checkSignal(options, election, ['signal', 'ifFree', 'atLeastMs']);
    const { ifFree = false, atLeastMs: held } = isObject(options) ? (options as LeadOptions) : {};
    const atLeastMs = held ?? HELD_AT_LEAST_MS;
    const refuse = (field: string, expected: string, came: unknown): never => {
      const what = `${field} of lead() in election "${election}"`;
      throw new InvalidInputError(election, `${what}: expected ${expected}, got ${shown(came)}`);
    };
    if (typeof ifFree !== 'boolean') refuse('ifFree', 'true or false', ifFree);
    const isHold = Number.isFinite(atLeastMs) && atLeastMs >= 0 && atLeastMs <= LONGEST_HOLD_MS;
    if (!isHold) refuse('atLeastMs', `0 to ${LONGEST_HOLD_MS} milliseconds`, atLeastMs);
    // Without `ifFree`, a hold would only delay the work of the other replicas.
    if (held !== undefined && !ifFree) refuse('ifFree', 'true, because atLeastMs works only with it', ifFree);
    this.ifFree = ifFree;
    const onLeader = async (term: Term): Promise<void> => {
      const startedAtMs = clock.now();
      this.#hasBegun = true;
      try {
        this.#result.resolve(await work(term));
        this.isDone = true;
        this.#rest();
        if (ifFree) await clock.sleep(startedAtMs + atLeastMs - clock.now(), term.signal);
      } catch (error) {
        this.#result.reject(error as Error);
      } finally {
        this.#stop('resigned');
      }
    };
    this.handlers = { onLeader, onFollower: undefined, onLeaderChange: undefined };
  }

  /** Waits for the end of the campaign, and returns the result of the work. @param stop ends the campaign. */
  async over(campaign: Campaign, stop: (reason: StopCause) => void): Promise<T | undefined> {
    this.#stop = stop;
    this.#rest = () => campaign.turn.term?.rest();
    const offSignal = this.signal && onAbort(this.signal, () => stop('aborted'));
    await campaign.ended;
    offSignal?.();
    if (this.#hasBegun) return await this.#result.promise;
    if (campaign.skippedFor !== undefined) return undefined;
    await campaign.term(); // rejects with the reason
    return undefined;
  }
}
