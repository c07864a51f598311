/**
 * The way between one process and one member of etcd, with what is wrong on it. All connections between the two share it.
 */
import { between, type Random } from '../process/random.ts';
import type { VirtualTime } from '../process/scheduler.ts';
import type { Endpoint } from './endpoint.ts';

export type Direction = 'up' | 'down';

/** How long a packet takes, in milliseconds. */
const USUAL_MS = [0.1, 1.5] as const;

/** After a black hole TCP sends again what was lost: its timer may stand anywhere. In milliseconds. */
const RESENT_WITHIN_MS = 1_500;

export class Link {
  readonly process: string;
  readonly address: string;
  readonly #time: VirtualTime;
  readonly #random: Random;
  /** Who answers at the other end. Changes where the address leads elsewhere. */
  endpoint: Endpoint;
  /** What each packet takes longer, at most, in milliseconds. */
  extraMs = 0;
  /** Connections are refused: nobody listens, or a firewall says no. */
  isRefusing = false;
  /** A gateway answers calls with this HTTP status; 0 for none. */
  httpStatus = 0;
  /** How many answers to writes are yet to be lost, with their connection, after the write was applied. */
  answersToLose = 0;
  readonly #isBlocked = { up: false, down: false };
  readonly #waiting = { up: [] as (() => void)[], down: [] as (() => void)[] };
  readonly #connections = new Set<{ reset(reason: string): void; halfOpen(): void; breakCalls(): void }>();

  constructor(
    of: { readonly process: string; readonly address: string; readonly endpoint: Endpoint },
    time: VirtualTime,
    random: Random,
  ) {
    this.process = of.process;
    this.address = of.address;
    this.endpoint = of.endpoint;
    this.#time = time;
    this.#random = random;
  }

  /** How long the next packet takes. */
  delayMs(): number {
    return between(this.#random, ...USUAL_MS) + this.#random() * this.extraMs;
  }

  isBlocked(direction: Direction): boolean {
    return this.#isBlocked[direction];
  }

  /** Packets of this direction get lost; TCP will send them again. */
  block(...directions: Direction[]): void {
    for (const direction of directions) this.#isBlocked[direction] = true;
  }

  unblock(): void {
    for (const direction of ['up', 'down'] as const) {
      this.#isBlocked[direction] = false;
      const waiting = this.#waiting[direction].splice(0);
      if (waiting.length === 0) continue;
      this.#time.after(between(this.#random, 0, RESENT_WITHIN_MS), () => {
        for (const send of waiting) send();
      });
    }
  }

  /** Sends now, or when the way is free again. */
  send(direction: Direction, send: () => void): void {
    if (this.#isBlocked[direction]) this.#waiting[direction].push(send);
    else send();
  }

  has(connection: { reset(reason: string): void; halfOpen(): void; breakCalls(): void }): () => void {
    this.#connections.add(connection);
    return () => this.#connections.delete(connection);
  }

  get connections(): number {
    return this.#connections.size;
  }

  /** All connections are reset, as by a gateway that restarts. */
  reset(reason = 'read ECONNRESET'): void {
    for (const connection of this.#connections) connection.reset(reason);
  }

  /** What is sent on the connections there are goes nowhere from now on. */
  halfOpen(): void {
    for (const connection of this.#connections) connection.halfOpen();
  }

  /** A gateway ends all calls and streams, and keeps the connections. */
  breakCalls(): void {
    for (const connection of this.#connections) connection.breakCalls();
  }
}
