/**
 * The network between the members. A link is a TCP connection: it keeps the order of messages. Messages during a
 * cut arrive after its removal, unless the other end has closed the connection meanwhile.
 */
import type { LeaseAnswer, LeaseCall } from './lease-server.ts';
import type { Random, Scheduler } from './process.ts';
import type { MemberId, Message } from './raft-message.ts';

/**
 * A member that hears nothing for this long closes the connection (rafthttp's ConnReadTimeout). Messages in
 * transit are lost.
 */
const UNHEARD_MS = 5_000;
const MOST_MEMBERS = 64;

export interface Peer {
  readonly id: MemberId;
  readonly isUp: boolean;
  receive(message: Message): void;
  answer(from: MemberId, call: LeaseCall, done: (answer: LeaseAnswer) => void): void;
  /**
   * Exchanges a heartbeat and its reply at once if they bring no news.
   * @returns whether it did.
   */
  touched(by: Peer): boolean;
}

interface Link {
  /** Earlier messages arrive earlier. */
  lastAtMs: number;
  cutSinceMs: number | undefined;
  /** When the present connection was opened. */
  madeAtMs: number;
  held: (() => void)[];
}

export class Network {
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  readonly #delayMs: readonly [number, number];
  readonly #peers = new Map<MemberId, Peer>();
  readonly #links = new Map<number, Link>();
  /** How often the members have started again. */
  #era = 0;

  constructor(scheduler: Scheduler, random: Random, delayMs: readonly [number, number]) {
    this.#scheduler = scheduler;
    this.#random = random;
    this.#delayMs = delayMs;
  }

  add(peer: Peer): void {
    this.#peers.set(peer.id, peer);
  }

  /** All members start again, and messages in transit belong to closed connections. Cuts stay. */
  forget(): void {
    this.#era++;
    for (const link of this.#links.values()) link.held = [];
  }

  #link(from: MemberId, to: MemberId): Link {
    const name = from * MOST_MEMBERS + to;
    let link = this.#links.get(name);
    if (link === undefined) {
      link = { lastAtMs: 0, cutSinceMs: undefined, madeAtMs: Number.NEGATIVE_INFINITY, held: [] };
      this.#links.set(name, link);
    }
    return link;
  }

  cut(from: MemberId, to: MemberId): void {
    this.#link(from, to).cutSinceMs ??= this.#scheduler.now();
  }

  heal(a?: MemberId, b?: MemberId): void {
    for (const [name, link] of this.#links) {
      const ends = [Math.floor(name / MOST_MEMBERS), name % MOST_MEMBERS];
      if ((a === undefined || ends.includes(a)) && (b === undefined || ends.includes(b))) this.#mend(link);
    }
  }

  #mend(link: Link): void {
    if (link.cutSinceMs === undefined) return;
    const now = this.#scheduler.now();
    const cutMs = now - link.cutSinceMs;
    link.cutSinceMs = undefined;
    const held = link.held.splice(0);
    if (cutMs >= UNHEARD_MS) {
      link.madeAtMs = now;
      return;
    }
    // TCP retransmits after a pause that doubles each time.
    const resendMs = this.#random() * cutMs;
    for (const run of held) this.#pass(link, resendMs, run);
  }

  #isWhole(from: MemberId, to: MemberId): boolean {
    return this.#link(from, to).cutSinceMs === undefined;
  }

  isConnectedSince(from: MemberId, to: MemberId, sinceMs: number): boolean {
    const now = this.#scheduler.now();
    return (
      this.#peers.get(to)?.isUp === true &&
      [this.#link(from, to), this.#link(to, from)].every(
        ({ cutSinceMs, madeAtMs }) => madeAtMs < sinceMs && now - (cutSinceMs ?? now) < UNHEARD_MS,
      )
    );
  }

  send(message: Message, delayMs: number): void {
    const { from, to, type } = message;
    const peer = this.#peers.get(to);
    if (peer?.isUp !== true) return;
    const isPlain = type === 'heartbeat' && message.context === '';
    const isWhole = isPlain && this.#isWhole(from, to) && this.#isWhole(to, from);
    if (isWhole && peer.touched(this.#peers.get(from)!)) return;
    this.#deliver(from, to, delayMs, () => peer.receive(message));
  }

  /** Over HTTP between members. */
  ask(from: MemberId, to: MemberId, call: LeaseCall, done: (answer: LeaseAnswer) => void): void {
    const peer = this.#peers.get(to);
    if (peer?.isUp === true)
      this.#deliver(from, to, 0, () =>
        peer.answer(from, call, (answer) => this.#deliver(to, from, 0, () => done(answer))),
      );
    else this.#deliver(to, from, 0, () => done('failed')); // refused
  }

  #deliver(from: MemberId, to: MemberId, delayMs: number, run: () => void): void {
    const link = this.#link(from, to);
    if (link.cutSinceMs === undefined) this.#pass(link, delayMs, run);
    else link.held.push(run);
  }

  #pass(link: Link, delayMs: number, run: () => void): void {
    const [least, most] = this.#delayMs;
    const now = this.#scheduler.now();
    const atMs = Math.max(link.lastAtMs, now + delayMs + least + this.#random() * (most - least));
    link.lastAtMs = atMs;
    const era = this.#era;
    this.#scheduler.after(atMs - now, () => {
      if (era !== this.#era) return;
      if (link.cutSinceMs === undefined) run();
      else link.held.push(run);
    });
  }
}
