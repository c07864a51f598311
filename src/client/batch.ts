/**
 * Combines requests that different elections of one client make in one event loop turn. The first request of a turn is
 * sent alone and at once, so the batch does not delay it. The later requests of the turn share transactions. Every
 * caller keeps its own signal and outcome.
 */
import { split, type Splittable } from '../core/split.ts';
import type { BatchOutcome } from '../etcd/election-keys.ts';
import { EtcdError, isTooLarge } from '../etcd/etcd-error.ts';
import { Semaphore } from '../etcd/semaphore.ts';
import type { CallLimits } from '../etcd/transport.ts';
import { sharedAbort } from '../util/abort.ts';
import { nextTurn } from '../util/clock.ts';
import { Deferred } from '../util/deferred.ts';
import { settle } from '../util/settle.ts';

export interface Waiting<T> extends Splittable {
  readonly request: T;
  readonly limits: CallLimits;
}

interface Caller<T, R> extends Waiting<T> {
  readonly outcome: Deferred<BatchOutcome<R>>;
  isSent: boolean;
  hasLeft: boolean;
  /** Called when the caller stops waiting. */
  onLeft: () => unknown;
}

/**
 * How many shared transactions of one kind a client runs at once, over all turns. Each answer makes work for many elections. With more
 * transactions, a slow process would read the last answers only after their time limit.
 */
const UNDER_WAY = 4;

/**
 * Sends one transaction for all requests.
 *
 * @returns the results of the requests, in order; undefined if the transaction did nothing because a comparison failed.
 * @throws {EtcdError}
 */
export type SendAll<T, R> = (requests: readonly T[], limits: CallLimits) => Promise<readonly R[] | undefined>;

export class Batch<T, R> {
  readonly #what: string;
  readonly #sendAll: SendAll<T, R>;
  readonly #places = new Semaphore(UNDER_WAY);
  #gathered: Caller<T, R>[] = [];
  /** Whether a request was made in this turn. */
  #isOpen = false;

  /** @param what names the request in errors. */
  constructor(what: string, sendAll: SendAll<T, R>) {
    this.#what = what;
    this.#sendAll = sendAll;
  }

  /**
   * Adds a request to the batch of this turn. The promise rejects with an {@link EtcdError} if the outcome is
   * unknown, or if etcd cannot be reached.
   *
   * @returns undefined for the first request of a turn. The caller sends that request alone, at once.
   */
  join(waiting: Waiting<T>): Promise<BatchOutcome<R>> | undefined {
    if (this.#isOpen) return this.#wait(waiting);
    this.#isOpen = true;
    nextTurn(() => this.#flush());
    return undefined;
  }

  async #wait(waiting: Waiting<T>): Promise<BatchOutcome<R>> {
    const { limits, keyPrefix } = waiting;
    const caller: Caller<T, R> = {
      ...waiting,
      outcome: new Deferred(),
      isSent: false,
      hasLeft: false,
      onLeft: () => undefined,
    };
    this.#gathered.push(caller);
    const withinMs = limits.isTimely === true ? limits.withinMs : undefined;
    return await settle(caller.outcome.promise, { signal: limits.signal, withinMs }, (ended): never => {
      caller.hasLeft = true;
      caller.onLeft();
      const kind = ended === 'aborted' ? 'aborted' : 'unavailable';
      const said = ended === 'aborted' ? 'aborted' : `no answer within ${limits.withinMs} ms`;
      throw new EtcdError(kind, `${this.#what} ${keyPrefix}: ${said}`, caller.isSent);
    });
  }

  #flush(): void {
    const callers = this.#gathered.filter(({ hasLeft }) => !hasLeft);
    this.#gathered = [];
    this.#isOpen = false;
    for (const group of split(callers)) void this.#send(group);
  }

  async #send(group: readonly Caller<T, R>[]): Promise<void> {
    if (group.length === 1) return group[0]!.outcome.resolve('alone');
    await this.#places.take();
    try {
      await this.#sendTogether(group.filter(({ hasLeft }) => !hasLeft));
    } finally {
      this.#places.give();
    }
  }

  async #sendTogether(group: readonly Caller<T, R>[]): Promise<void> {
    if (group.length === 0) return;
    const allHaveLeft = sharedAbort();
    for (const caller of group) {
      caller.isSent = true;
      caller.onLeft = () => group.every(({ hasLeft }) => hasLeft) && allHaveLeft.abort();
    }
    try {
      // The lane `shared` is never full. In a full lane, the transaction would wait, and then put the keys of callers
      // that have left.
      const done = await this.#sendAll(
        group.map(({ request }) => request),
        { ...group[0]!.limits, signal: allHaveLeft.signal, lane: 'shared' },
      );
      group.forEach(({ outcome }, index) =>
        outcome.resolve(done === undefined ? 'alone' : { done: done[index]! }),
      );
    } catch (error) {
      for (const caller of group) this.#fail(caller, error);
    }
  }

  /**
   * If nothing happened because the batch was too large or refused, each request is sent alone. If only the answer was too large,
   * the outcome is `unseen`. Other errors go to every caller.
   */
  #fail({ outcome, keyPrefix }: Caller<T, R>, error: unknown): void {
    if (!(error instanceof EtcdError)) return outcome.reject(error as Error);
    const { kind, message, mayHaveHappened } = error;
    if (isTooLarge(error)) outcome.resolve(mayHaveHappened ? 'unseen' : 'alone');
    else if (kind === 'refused' || kind === 'lease-gone') outcome.resolve('alone');
    else
      outcome.reject(
        new EtcdError(kind, `${this.#what} ${keyPrefix}: ${message}`, mayHaveHappened, { cause: error }),
      );
  }
}
