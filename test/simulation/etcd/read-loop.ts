/** linearizableReadLoop: one request for a read index at a time, for all earlier callers. */
import type { Process } from './process.ts';
import { REFUSALS } from './refusals.ts';
import type { EtcdRefusal } from './wire.ts';

/** readIndexRetryTime. */
const RETRY_MS = 500;

export type ReadDone = (refusal?: EtcdRefusal) => void;

interface Reading {
  readonly context: string;
  readonly done: readonly ReadDone[];
  readonly stop: () => void;
  /** The index is known, and must be applied. */
  isConfirmed: boolean;
}

export interface ReadTools {
  readonly process: Process;
  /** Part of each context, so that no two members share one. */
  readonly newContext: () => string;
  readonly timeoutMs: number;
  /** Asks raft. */
  readonly readIndex: (context: string) => void;
  whenApplied(index: number, run: () => void): void;
}

export class ReadLoop {
  readonly #tools: ReadTools;
  #next: ReadDone[] = [];
  #reading: Reading | undefined;

  constructor(tools: ReadTools) {
    this.#tools = tools;
  }

  /** The process starts again: no caller waits any more. */
  clear(): void {
    this.#next = [];
    this.#reading = undefined;
  }

  ask(done: ReadDone): void {
    this.#next.push(done);
    this.#start();
  }

  #start(): void {
    if (this.#reading !== undefined || this.#next.length === 0) return;
    const { process, timeoutMs, newContext, readIndex } = this.#tools;
    const context = newContext();
    const done = this.#next.splice(0);
    const retry = (): (() => void) =>
      process.after(RETRY_MS, 'read', () => {
        cancelRetry = retry();
        readIndex(context);
      });
    let cancelRetry = retry();
    const cancelTimeout = process.after(timeoutMs, 'read', () => this.#end(REFUSALS.timeout));
    const stop = (): void => {
      cancelRetry();
      cancelTimeout();
    };
    this.#reading = { context, done, stop, isConfirmed: false };
    readIndex(context);
  }

  /** Raft has answered, perhaps to an earlier request. */
  known(context: string, index: number): void {
    const reading = this.#reading;
    if (reading?.context !== context) return;
    reading.stop();
    reading.isConfirmed = true;
    this.#tools.whenApplied(index, () => {
      if (this.#reading === reading) this.#end();
    });
  }

  /** Another member leads: it does not answer the former leader's requests. */
  leaderChanged(): void {
    if (this.#reading?.isConfirmed === false) this.#end(REFUSALS.leaderChanged);
  }

  #end(refusal?: EtcdRefusal): void {
    const { done, stop } = this.#reading!;
    stop();
    this.#reading = undefined;
    for (const tell of done) tell(refusal);
    this.#start();
  }
}
