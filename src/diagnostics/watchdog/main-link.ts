import type { MessagePort } from 'node:worker_threads';
import { type Snapshot, NO_SNAPSHOT } from '../elections.ts';
import type { LedTerm } from './led-terms.ts';
import type { ToMain, ToWorker } from './messages.ts';

/** The connection from the worker to the main thread. The main thread may never answer, so every wait has a limit. */
export class MainLink {
  /** The elections as the main thread last described them. It sends their state after events, and while it is busy. */
  snapshot: Snapshot = NO_SNAPSHOT;
  /** The terms that the process led when it sent `snapshot`. */
  led: readonly LedTerm[] = [];
  readonly #port: MessagePort;
  readonly #replies = new Map<number, (text: string | undefined) => void>();
  readonly #answers = new Set<(turns: boolean) => void>();
  #isAsked = false;
  #lastId = 0;

  constructor(port: MessagePort) {
    this.#port = port;
  }

  post(message: ToMain): void {
    this.#port.postMessage(message);
  }

  /** Asks the main thread whether it turns. At most one question is open. */
  ask(): void {
    if (this.#isAsked) return;
    this.#isAsked = true;
    this.post({ type: 'ask' });
  }

  /** Whether the main thread answers in time. */
  isTurning(withinMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      const settle = (turns: boolean): void => {
        clearTimeout(timer);
        this.#answers.delete(settle);
        resolve(turns);
      };
      const timer = setTimeout(settle, withinMs, false);
      this.#answers.add(settle);
      this.ask();
    });
  }

  /** @returns the reply, or undefined if it is late or has no text. */
  request(what: 'snapshot' | 'metrics', server: number, withinMs: number): Promise<string | undefined> {
    const id = ++this.#lastId;
    return new Promise((resolve) => {
      const settle = (text: string | undefined): void => {
        clearTimeout(timer);
        this.#replies.delete(id);
        resolve(text);
      };
      const timer = setTimeout(settle, withinMs, undefined);
      this.#replies.set(id, settle);
      this.post({ type: 'request', id, what, server });
    });
  }

  /** Ends all waits, because their timers would keep the worker alive. */
  close(): void {
    for (const settle of this.#answers) settle(false);
    for (const settle of this.#replies.values()) settle(undefined);
    this.#port.close();
  }

  /** Handles answers, replies and elections. The caller handles all other messages. */
  receive(message: ToWorker): void {
    if (message.type === 'answer') {
      this.#isAsked = false;
      for (const settle of this.#answers) settle(true);
    } else if (message.type === 'reply') {
      this.#replies.get(message.id)?.(message.text);
    } else if (message.type === 'elections') {
      this.snapshot = message.snapshot;
      this.led = message.led;
    }
  }
}
