/**
 * AbortController and AbortSignal, as far as the library and its users need them. Node's own would work, but
 * each abort makes a DOMException, and a simulated process aborts some hundred times a simulated second.
 */
type Listener = (event: { readonly type: 'abort' }) => void;

// `globalThis`, because this file is evaluated before the substitutes of Node's globals.
class AbortError extends globalThis.Error {
  override readonly name = 'AbortError';
  readonly code = 20;
}

export class AbortSignal {
  readonly #listeners = new Map<Listener, boolean>();
  aborted = false;
  reason: unknown;

  addEventListener(_type: 'abort', listener: Listener, options?: { readonly once?: boolean }): void {
    if (!this.#listeners.has(listener)) this.#listeners.set(listener, options?.once === true);
  }

  removeEventListener(_type: 'abort', listener: Listener): void {
    this.#listeners.delete(listener);
  }

  throwIfAborted(): void {
    if (this.aborted) throw this.reason;
  }

  /** An error that a listener throws ends the process, as in Node. */
  abort(reason: unknown): void {
    if (this.aborted) return;
    this.aborted = true;
    this.reason = reason ?? new AbortError('This operation was aborted');
    for (const [listener, isOnce] of Array.from(this.#listeners)) {
      if (!this.#listeners.has(listener)) continue;
      if (isOnce) this.#listeners.delete(listener);
      try {
        listener({ type: 'abort' });
      } catch (error) {
        globalThis.simulation.setImmediate(() => {
          throw error;
        });
      }
    }
  }
}

export class AbortController {
  readonly signal = new AbortSignal();

  abort(reason?: unknown): void {
    this.signal.abort(reason);
  }
}
