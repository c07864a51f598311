/**
 * Sends what different elections of one client ask for in the same turn in few transactions. The first of a turn is sent
 * alone and at once, so that one request is as fast as without a batch; those after it share transactions. Each caller
 * keeps its own signal and its own outcome, and one that etcd refuses does not spoil the others: then each sends its
 * request alone.
 */
import { split, type Splittable } from '../core/split.ts';
import type { Together } from '../etcd/election-keys.ts';
import { EtcdError, isTooLarge } from '../etcd/etcd-error.ts';
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
  readonly outcome: Deferred<Together<R>>;
  isSent: boolean;
  hasLeft: boolean;
  /** Called when it waits no longer. */
  onLeft: () => unknown;
}

/**
 * Sends one transaction for all.
 *
 * @returns what came of each, in order; undefined if the transaction did nothing because a comparison failed.
 * @throws {EtcdError}
 */
export type SendAll<T, R> = (requests: readonly T[], limits: CallLimits) => Promise<readonly R[] | undefined>;

export class Batch<T, R> {
  readonly #what: string;
  readonly #sendAll: SendAll<T, R>;
  #gathered: Caller<T, R>[] = [];
  /** Whether a call was added in this turn. */
  #isOpen = false;

  /** @param what said in errors: what is tried. */
  constructor(what: string, sendAll: SendAll<T, R>) {
    this.#what = what;
    this.#sendAll = sendAll;
  }

  /**
   * Joins those who ask in this turn.
   *
   * @returns undefined for the first of them: it is to be sent alone, now. The promise rejects with an {@link EtcdError}
   *   where nobody knows the outcome, or etcd cannot be reached.
   */
  join(waiting: Waiting<T>): Promise<Together<R>> | undefined {
    if (this.#isOpen) return this.#wait(waiting);
    this.#isOpen = true;
    nextTurn(() => this.#flush());
    return undefined;
  }

  async #wait(waiting: Waiting<T>): Promise<Together<R>> {
    const { limits, electionKeys } = waiting;
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
      throw new EtcdError(kind, `${this.#what} ${electionKeys}: ${said}`, caller.isSent);
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
    const nobodyWaits = sharedAbort();
    for (const caller of group) {
      caller.isSent = true;
      caller.onLeft = () => group.every(({ hasLeft }) => hasLeft) && nobodyWaits.abort();
    }
    try {
      const done = await this.#sendAll(
        group.map(({ request }) => request),
        { ...group[0]!.limits, signal: nobodyWaits.signal },
      );
      group.forEach(({ outcome }, index) =>
        outcome.resolve(done === undefined ? 'alone' : { done: done[index]! }),
      );
    } catch (error) {
      for (const caller of group) this.#fail(caller, error);
    }
  }

  /** One entry or the number of entries may be the cause, so each is then sent alone. Other errors go to every caller. */
  #fail({ outcome, electionKeys }: Caller<T, R>, error: unknown): void {
    if (!(error instanceof EtcdError)) return outcome.reject(error as Error);
    const { kind, message, mayHaveHappened } = error;
    if (isTooLarge(error)) outcome.resolve(mayHaveHappened ? 'unseen' : 'alone');
    else if (kind === 'refused' || kind === 'lease-gone') outcome.resolve('alone');
    else
      outcome.reject(
        new EtcdError(kind, `${this.#what} ${electionKeys}: ${message}`, mayHaveHappened, { cause: error }),
      );
  }
}
