/**
 * A clock and a random source for tests of the model alone.
 */
import type { Random, Scheduler } from '../etcd/cluster.ts';

interface Due {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
}

export class VirtualTime implements Scheduler {
  #nowMs = 0;
  #order = 0;
  /** Sorted; the next one last. */
  readonly #queue: Due[] = [];

  now(): number {
    return this.#nowMs;
  }

  after(ms: number, run: () => void): () => void {
    const due: Due = { atMs: this.#nowMs + Math.max(0, ms), order: ++this.#order, run };
    let low = 0;
    let high = this.#queue.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#queue[middle]!.atMs > due.atMs) low = middle + 1;
      else high = middle;
    }
    this.#queue.splice(low, 0, due);
    return () => {
      const at = this.#queue.indexOf(due);
      if (at >= 0) this.#queue.splice(at, 1);
    };
  }

  /** Runs what is due until then, and stops there. */
  runTo(atMs: number): void {
    for (let due = this.#queue.at(-1); due !== undefined && due.atMs <= atMs; due = this.#queue.at(-1)) {
      this.#queue.pop();
      this.#nowMs = due.atMs;
      due.run();
    }
    this.#nowMs = Math.max(this.#nowMs, atMs);
  }

  runFor(ms: number): void {
    this.runTo(this.#nowMs + ms);
  }

  /** @throws {Error} where it does not come true within so long. */
  runUntil(isTrue: () => boolean, withinMs = 60_000): void {
    const endMs = this.#nowMs + withinMs;
    while (!isTrue()) {
      const due = this.#queue.at(-1);
      if (due === undefined || due.atMs > endMs) throw new Error(`not within ${withinMs} ms`);
      this.runTo(due.atMs);
    }
  }
}

export function seeded(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
