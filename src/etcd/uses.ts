/**
 * Counts what uses our connections: calls under way and open streams. Closes unused connections: at once when an
 * election is closed, otherwise after some seconds.
 */
import { after, clock } from '../util/clock.ts';

/** How often we check whether the connections are still used, in milliseconds. */
const TEND_EVERY_MS = 1_000;

/**
 * After this long, in milliseconds, unused connections are closed. An application that reads once a second keeps its
 * connection.
 */
const IDLE_FOR_MS = 5_000;

export interface Use {
  /** Called after the user has closed the client. If this use is a stream, the function must end the stream. */
  clientClosed: () => void;
  readonly end: () => void;
}

export class Uses {
  readonly #isClosed: () => boolean;
  readonly #drop: () => void;
  readonly #uses = new Set<Use>();
  readonly #closedListeners = new Set<() => void>();
  #idleSinceMs = 0;
  /** Cancels the timer; undefined while there is none. */
  #cancelTimer: (() => void) | undefined;
  #isClosingWhenUnused = false;

  /** @param drop closes all connections. */
  constructor(isClosed: () => boolean, drop: () => void) {
    this.#isClosed = isClosed;
    this.#drop = drop;
  }

  begin(): Use {
    const use: Use = {
      clientClosed: () => undefined,
      end: () => {
        if (!this.#uses.delete(use) || this.#uses.size > 0) return;
        this.#idleSinceMs = clock.now();
        if (this.#isClosingWhenUnused) this.#end();
        else if (this.#isClosed()) this.#drop(); // this use may have dialled again since the client was closed
      },
    };
    this.#uses.add(use);
    if (this.#cancelTimer === undefined) this.#tend();
    return use;
  }

  onClosed(listener: () => void): () => void {
    this.#closedListeners.add(listener);
    return () => this.#closedListeners.delete(listener);
  }

  closeWhenUnused(): void {
    this.#isClosingWhenUnused = true;
    if (this.#uses.size === 0) this.#end();
  }

  /** Checks the connections from time to time. The timer does not keep the process alive. */
  #tend(): void {
    const look = (): void => {
      const isIdle = this.#uses.size === 0 && clock.now() - this.#idleSinceMs >= IDLE_FOR_MS;
      if (!isIdle && !this.#isClosed()) return this.#tend();
      // Listeners are called first. If a stream ended earlier, they would take its end for a network fault.
      if (this.#isClosed()) for (const listener of this.#closedListeners) listener();
      for (const use of this.#uses) use.clientClosed();
      this.#end();
    };
    this.#cancelTimer = after(TEND_EVERY_MS, look, true);
  }

  #end(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    this.#isClosingWhenUnused = false;
    this.#drop();
  }
}
