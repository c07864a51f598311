/** The path between one process and one member of etcd, with its faults. All connections between the two share it. */
import { between, type Random } from '../process/random.ts';
import type { VirtualTime } from '../process/scheduler.ts';
import type { Endpoint } from './endpoint.ts';

export type Direction = 'up' | 'down';

/** How long a packet takes, in milliseconds. */
const USUAL_MS = [0.1, 1.5] as const;

/** After a black hole TCP retransmits what was lost, at any time up to this. In milliseconds. */
const RESENT_WITHIN_MS = 1_500;

/** What a link asks of its connections. */
interface OneConnection {
  reset(reason: string): void;
  loseAnswers(): void;
  halfOpen(): void;
  breakCalls(): void;
}

export class Link {
  readonly process: string;
  readonly address: string;
  readonly #time: VirtualTime;
  readonly #random: Random;
  /** The server at the other end. It changes when the address leads elsewhere. */
  endpoint: Endpoint;
  /** The largest additional delay of each packet, in milliseconds. */
  extraMs = 0;
  /** The same, but only of packets to the process, in milliseconds. */
  extraDownMs = 0;
  /** Connections are refused: no server listens, or a firewall rejects them. */
  isRefusing = false;
  /** A gateway answers calls with this HTTP status; 0 for none. */
  httpStatus = 0;
  /** How many more answers to writes will be lost with their connection, after the write was applied. */
  answersToLose = 0;
  /** How many faults block each direction. */
  readonly #blocks = { up: 0, down: 0 };
  readonly #waiting = { up: [] as (() => void)[], down: [] as (() => void)[] };
  readonly #connections = new Set<OneConnection>();

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

  /** The delay of the next packet. */
  delayMs(direction: Direction): number {
    const extraMs = this.extraMs + (direction === 'down' ? this.extraDownMs : 0);
    return between(this.#random, ...USUAL_MS) + this.#random() * extraMs;
  }

  isBlocked(direction: Direction): boolean {
    return this.#blocks[direction] > 0;
  }

  /**
   * Packets in these directions are lost, and TCP retransmits them. Faults overlap: the path is free again when
   * each fault that blocked it has unblocked it.
   */
  block(...directions: Direction[]): void {
    for (const direction of directions) this.#blocks[direction]++;
  }

  /** @param directions the ones that the caller has blocked. */
  unblock(...directions: Direction[]): void {
    for (const direction of directions) {
      if (--this.#blocks[direction] > 0) continue;
      const waiting = this.#waiting[direction].splice(0);
      if (waiting.length === 0) continue;
      this.#time.after(between(this.#random, 0, RESENT_WITHIN_MS), () => {
        for (const send of waiting) this.send(direction, send);
      });
    }
  }

  /** Sends now, or when the path is free again. */
  send(direction: Direction, send: () => void): void {
    if (this.isBlocked(direction)) this.#waiting[direction].push(send);
    else send();
  }

  has(connection: OneConnection): () => void {
    this.#connections.add(connection);
    return () => this.#connections.delete(connection);
  }

  get connections(): number {
    return this.#connections.size;
  }

  /** Resets all connections, like a restarting gateway. */
  reset(reason = 'read ECONNRESET'): void {
    for (const connection of this.#connections) connection.reset(reason);
  }

  /** The servers are replaced: when their connections are reset, nothing arrives that they had sent before. */
  loseAnswers(): void {
    for (const connection of this.#connections) connection.loseAnswers();
  }

  /** From now on, packets on the existing connections are lost. */
  halfOpen(): void {
    for (const connection of this.#connections) connection.halfOpen();
  }

  /** A gateway ends all calls and streams, and keeps the connections. */
  breakCalls(): void {
    for (const connection of this.#connections) connection.breakCalls();
  }
}
