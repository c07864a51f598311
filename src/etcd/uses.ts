/**
 * Who needs our connections: calls under way and open streams. Without them the connections are closed, when an election is
 * closed at once, else after a while.
 */
import { after, clock } from '../util/clock.ts';

/** How often we look whether our connections are still needed, in milliseconds. */
const TEND_EVERY_MS = 1_000;

/** Connections that nothing needs are closed after so long, in milliseconds: an application may read once a second. */
const IDLE_FOR_MS = 5_000;

export interface Use {
  /** Ends what would go on by itself after the user has closed the client. */
  clientClosed: () => void;
  readonly end: () => void;
}

export class Uses {
  readonly #isClosed: () => boolean;
  readonly #drop: () => void;
  readonly #uses = new Set<Use>();
  readonly #closedListeners = new Set<() => void>();
  #idleSinceMs = 0;
  /** Ends the timer; undefined while there is none. */
  #cancelTimer: (() => void) | undefined;
  /** To be closed as soon as nothing uses them, not only after a while. */
  #isResting = false;

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
        if (this.#isResting) this.#end();
      },
    };
    this.#uses.add(use);
    if (this.#cancelTimer === undefined) this.#tend();
    return use;
  }

  /** Calls back, within a second, when the user has closed the client. @returns what takes the listener away. */
  onClosed(listener: () => void): () => void {
    this.#closedListeners.add(listener);
    return () => this.#closedListeners.delete(listener);
  }

  /** An election is closed: our connections are too, as soon as nothing uses them. */
  rest(): void {
    this.#isResting = true;
    if (this.#uses.size === 0) this.#end();
  }

  /** Its timer keeps no process alive. */
  #tend(): void {
    const look = (): void => {
      const isIdle = this.#uses.size === 0 && clock.now() - this.#idleSinceMs >= IDLE_FOR_MS;
      if (!isIdle && !this.#isClosed()) return this.#tend();
      // First the listeners: a stream that ends before them would look like a fault of the network.
      if (this.#isClosed()) for (const listener of this.#closedListeners) listener();
      for (const use of this.#uses) use.clientClosed();
      this.#end();
    };
    this.#cancelTimer = after(TEND_EVERY_MS, look, true);
  }

  #end(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    this.#isResting = false;
    this.#drop();
  }
}
