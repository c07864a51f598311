/**
 * A resource outside etcd that leaders write to. It refuses any token smaller than the largest one that it has
 * seen. A resource needs no more than this for fencing.
 */
import type { LogEntry } from '../../faults/lab/evidence.ts';
import { between, type Random } from '../process/random.ts';
import type { VirtualTime } from '../process/scheduler.ts';

const ONE_WAY_MS = [0.2, 5] as const;

export interface Write {
  readonly process: string;
  readonly token: bigint;
  readonly counter: number;
  readonly electedMs: number;
  /** When the writer sends it. It may be ahead of the world after a long callback. */
  readonly sentMs: number;
}

export class Resource {
  readonly #time: VirtualTime;
  readonly #random: Random;
  #highest = -1n;
  #clearedMs = 0;
  #openFromMs = 0;
  #log: LogEntry[] = [];

  constructor(time: VirtualTime, random: Random) {
    this.#time = time;
    this.#random = random;
  }

  get log(): readonly LogEntry[] {
    return this.#log;
  }

  /**
   * @param electedMs when the writer's term began.
   * @param settle is called with the outcome.
   */
  append(
    { process, token, counter, electedMs, sentMs }: Write,
    settle: (outcome: 'acknowledged' | 'refused') => void,
  ): void {
    this.#time.at(sentMs + between(this.#random, ...ONE_WAY_MS), () => {
      const isClosed = this.#time.now() < this.#openFromMs;
      const isRefused = isClosed || token < this.#highest || electedMs < this.#clearedMs;
      if (!isRefused) {
        this.#highest = token;
        this.#log.push({ process, token, counter, order: BigInt(this.#log.length), times: 1 });
      }
      this.#time.after(between(this.#random, ...ONE_WAY_MS), () =>
        settle(isRefused ? 'refused' : 'acknowledged'),
      );
    });
  }

  /**
   * After etcd lost its history, tokens start again, and the operator must reset the resource. It then refuses earlier terms. It stays
   * closed until no lease of the old history is left: a process that slept may still lead under one.
   */
  clear(longestLeaseMs: number): void {
    this.#clearedMs = this.#time.now();
    this.#openFromMs = this.#clearedMs + longestLeaseMs;
    this.#log = [];
    this.#highest = -1n;
  }
}
