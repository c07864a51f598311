/**
 * The user's two callbacks: never at the same time, always in turns, and never the end of the process.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { Candidate } from './core/roster.ts';
import type { LiveTerm, Term } from './term.ts';
import { clock } from './time.ts';

export interface Handlers {
  readonly onLeader: ((term: Term) => unknown) | undefined;
  readonly onFollower: ((leader: Candidate | undefined) => unknown) | undefined;
}

/** Whose work the code at hand belongs to: whoever resigns from within must not wait for himself. */
const insideWorkOf = new AsyncLocalStorage<{ readonly of: Callbacks; isOver: boolean }>();

export class Callbacks {
  readonly #handlers: Handlers;
  #last: keyof Handlers | undefined;
  /** The work of a term, and what the follower's callback does, each until it settles. */
  #work: Promise<void> | undefined;
  #workTerm: LiveTerm | undefined;
  #following: Promise<void> | undefined;

  constructor(handlers: Handlers) {
    this.#handlers = handlers;
  }

  /** For how long the work has gone on after its term ended, in milliseconds; 0 where none does. */
  get workOverdueMs(): number {
    const endedAtMs = this.isWorking ? this.#workTerm?.endedAtMs : undefined;
    return endedAtMs === undefined ? 0 : clock.now() - endedAtMs;
  }

  get isWorking(): boolean {
    return this.#work !== undefined;
  }

  /** Whether the code that calls us is the work itself; what the work has begun and left behind is not. */
  get isCallingUs(): boolean {
    const work = insideWorkOf.getStore();
    return work?.of === this && !work.isOver;
  }

  /**
   * Calls `onLeader`, at once, or as soon as the follower's callback has settled.
   *
   * @param report told what a callback threw, unless that is the term's own end.
   * @param onFailed called when the work throws or rejects.
   */
  lead(
    term: LiveTerm,
    report: (callback: keyof Handlers, error: unknown) => void,
    onFailed: () => void,
  ): void {
    const { onLeader } = this.#handlers;
    const start = (): void => {
      if (term.isOver) return;
      this.#last = 'onLeader';
      if (onLeader === undefined) return;
      this.#workTerm = term;
      const here = { of: this, isOver: false };
      const work = insideWorkOf.run(here, async () => await onLeader(term));
      this.#work = work.then(
        () => {
          here.isOver = true;
          this.#work = undefined;
        },
        (error: unknown) => {
          here.isOver = true;
          this.#work = undefined;
          if (!term.isOver || error !== term.lost()) report('onLeader', error);
          onFailed();
        },
      );
    };
    if (this.#following === undefined) start();
    else void this.#following.then(start);
  }

  /** Calls `onFollower`, unless it was the last to be called. */
  follow(leader: Candidate | undefined, report: (callback: keyof Handlers, error: unknown) => void): void {
    const { onFollower } = this.#handlers;
    if (onFollower === undefined || this.#last === 'onFollower') return;
    this.#last = 'onFollower';
    this.#following = (async () => void (await onFollower(leader)))()
      .catch((error: unknown) => report('onFollower', error))
      .finally(() => {
        this.#following = undefined;
      });
  }

  /** `onLeader` was called, and `onFollower` has not been since. */
  get owesFollower(): boolean {
    return this.#last === 'onLeader';
  }

  /** Resolves when the work has settled, or this many milliseconds have passed. @returns whether it has settled. */
  async drain(withinMs: number): Promise<boolean> {
    return await within(this.#work, withinMs);
  }

  /** Resolves when the work has settled, however long that takes. */
  async workSettled(): Promise<void> {
    await this.#work;
  }

  /** As {@link drain}, for the follower's callback. */
  async followed(withinMs: number): Promise<boolean> {
    return await within(this.#following, withinMs);
  }

  /** Resolves when whatever was called has settled, however long that takes. */
  async settled(): Promise<void> {
    await this.#work;
    await this.#following;
  }
}

async function within(promise: Promise<void> | undefined, ms: number): Promise<boolean> {
  if (promise === undefined) return true;
  const over = new AbortController();
  const settled = promise.then(() => {
    over.abort();
    return true;
  });
  return await Promise.race([settled, clock.sleep(ms, over.signal).then(() => over.signal.aborted)]);
}
