import type { MessagePort } from 'node:worker_threads';
import { type Snapshot, NO_SNAPSHOT } from '../elections.ts';
import type { ToMain, ToWorker } from './messages.ts';

/** The worker's side of the conversation with the main thread, which may never answer: each wait has its limit. */
export class MainLink {
  /** As last heard; the main thread tells when something happens, and when asked. */
  snapshot: Snapshot = NO_SNAPSHOT;
  readonly #port: MessagePort;
  readonly #replies = new Map<number, (text: string | undefined) => void>();
  readonly #answers = new Set<() => void>();
  #isAsked = false;
  #lastId = 0;

  constructor(port: MessagePort) {
    this.#port = port;
  }

  post(message: ToMain): void {
    this.#port.postMessage(message);
  }

  /** Asks whether it turns; at most one question is under way. */
  ask(): void {
    if (this.#isAsked) return;
    this.#isAsked = true;
    this.post({ type: 'ask' });
  }

  /** @returns whether it answered in time. */
  isTurning(withinMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      const settle = (turns: boolean): void => {
        clearTimeout(timer);
        this.#answers.delete(yes);
        resolve(turns);
      };
      const yes = (): void => settle(true);
      const timer = setTimeout(() => settle(false), withinMs);
      this.#answers.add(yes);
      this.ask();
    });
  }

  /** @returns what it replied; undefined if it did not in time, or has nothing to say. */
  request(what: 'snapshot' | 'metrics', withinMs: number): Promise<string | undefined> {
    const id = ++this.#lastId;
    return new Promise((resolve) => {
      const settle = (text: string | undefined): void => {
        clearTimeout(timer);
        this.#replies.delete(id);
        resolve(text);
      };
      const timer = setTimeout(settle, withinMs, undefined);
      this.#replies.set(id, settle);
      this.post({ type: 'request', id, what });
    });
  }

  /** Takes in what concerns this class; the rest is the caller's. */
  receive(message: ToWorker): void {
    if (message.type === 'answer') {
      this.#isAsked = false;
      for (const yes of this.#answers) yes();
    } else if (message.type === 'reply') {
      this.#replies.get(message.id)?.(message.text);
    } else if (message.type === 'snapshot' || message.type === 'tripped') {
      this.snapshot = message.snapshot;
    }
  }
}
