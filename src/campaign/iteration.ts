/**
 * Wraps a generator, and changes two things:
 * - `return()` ends a pending `next()`. In a plain generator it would wait for that `next()`, perhaps for hours.
 * - The call limits delay calls of an iteration that is over. They also refuse a `next()` while too many earlier ones wait.
 */
import type { PublicFunction } from '../loop-guard/call-site.ts';
import type { CallLimiter } from '../loop-guard/call-limits.ts';

/** How many `next()` calls of one iteration may wait, to limit memory. */
const MOST_ASKED = 1_000;

class Iteration<T> {
  readonly #over: AbortController;
  readonly #callers: CallLimiter;
  readonly #next: () => Promise<IteratorResult<T, void>>;
  #state: 'new' | 'under way' | 'over' = 'new';
  #asked = 0;

  /** @param next the generator's own `next()`. */
  constructor(over: AbortController, callers: CallLimiter, next: () => Promise<IteratorResult<T, void>>) {
    this.#over = over;
    this.#callers = callers;
    this.#next = next;
  }

  /** @param method the public method that was called. */
  next(method: PublicFunction): Promise<IteratorResult<T, void>> {
    if (this.#state === 'over') return this.#idle(method).then(() => this.#ask());
    if (this.#asked >= MOST_ASKED) return this.#callers.refuseNext(method, this.#asked);
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
  finish<R>(method: PublicFunction, finished: () => Promise<R>): Promise<R> {
    this.#over.abort();
    const isUnderWay = this.#state === 'under way';
    this.#state = 'over';
    return isUnderWay ? finished() : this.#idle(method).then(finished);
  }

  #idle(method: PublicFunction): Promise<void> {
    this.#callers.count('observe');
    return this.#callers.idle(method);
  }
}

/** Returns the generator with both changes. @param over ends the iteration when it aborts. */
export function withImmediateReturn<T>(
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
    // Generators of Node 20 do not have this method.
    [Symbol.asyncDispose]: async () => void (await leaders.return()),
  });
}
