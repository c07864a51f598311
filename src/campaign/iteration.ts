/**
 * What a generator does not do by itself. Its own `return()` and `throw()` wait behind a `next()` that is under way, and
 * that may wait for hours: here they end it first. A generator answers calls on an iteration that has not begun or is over
 * within the turn, and lets any number of `next()` wait: here both pass the limits of callers.
 */
import type { PublicFunction } from '../loop-guard/call-site.ts';
import type { CallLimiter } from '../loop-guard/call-limits.ts';

/** So many `next()` of one iteration may wait; each costs memory. */
const MOST_ASKED = 1_000;

class Iteration<T> {
  readonly #over: AbortController;
  readonly #callers: CallLimiter;
  readonly #next: () => Promise<IteratorResult<T, void>>;
  #state: 'new' | 'under way' | 'over' = 'new';
  #asked = 0;

  /** @param next the generator's own. */
  constructor(over: AbortController, callers: CallLimiter, next: () => Promise<IteratorResult<T, void>>) {
    this.#over = over;
    this.#callers = callers;
    this.#next = next;
  }

  /** @param calls the function that was called. */
  next(calls: PublicFunction): Promise<IteratorResult<T, void>> {
    if (this.#state === 'over') return this.#idle(calls).then(() => this.#ask());
    if (this.#asked >= MOST_ASKED) return this.#callers.tooManyAsked(calls, this.#asked);
    this.#state = 'under way';
    return this.#ask();
  }

  async #ask(): Promise<IteratorResult<T, void>> {
    this.#asked++;
    try {
      const result = await this.#next();
      if (result.done === true) this.#state = 'over';
      return result;
    } catch (error) {
      this.#state = 'over';
      throw error;
    } finally {
      this.#asked--;
    }
  }

  /** @param finished the generator's own `return()` or `throw()`. */
  finish<R>(calls: PublicFunction, finished: () => Promise<R>): Promise<R> {
    this.#over.abort();
    const isUnderWay = this.#state === 'under way';
    this.#state = 'over';
    return isUnderWay ? finished() : this.#idle(calls).then(finished);
  }

  #idle(calls: PublicFunction): Promise<void> {
    this.#callers.count('observe');
    return this.#callers.idle(calls);
  }
}

/** @param over ends the iteration when it aborts. */
export function endsAtOnce<T>(
  leaders: AsyncGenerator<T, void, void>,
  over: AbortController,
  callers: CallLimiter,
): AsyncGenerator<T, void, void> {
  const iteration = new Iteration(over, callers, leaders.next.bind(leaders));
  const end = leaders.return.bind(leaders);
  const fail = leaders.throw.bind(leaders);
  const method = (name: 'next' | 'return' | 'throw'): PublicFunction => leaders[name];
  return Object.assign(leaders, {
    next: () => iteration.next(method('next')),
    return: (value: void | PromiseLike<void>) => iteration.finish(method('return'), () => end(value)),
    throw: (error: unknown) => iteration.finish(method('throw'), () => fail(error)),
    // The same as `return()`; Node 20 does not give it to generators.
    [Symbol.asyncDispose]: async () => void (await leaders.return()),
  });
}
