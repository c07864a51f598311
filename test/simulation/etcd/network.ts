/**
 * The network between the members. A link keeps the order of what is sent, as one TCP connection does; what a cut link is
 * given is lost.
 */
import type { LeaseAnswer, LeaseCall } from './lease-server.ts';
import type { Random, Scheduler } from './process.ts';
import type { MemberId, Message } from './raft.ts';

/** A stream that hears nothing for so long counts as broken (ConnReadTimeout). */
const UNHEARD_MS = 5_000;
/** A dialled member that does not answer is given up after this (peerDialTimeout). */
const DIAL_WITHIN_MS = 2_000;

export interface Peer {
  readonly id: MemberId;
  readonly isUp: boolean;
  receive(message: Message): void;
  answer(from: MemberId, call: LeaseCall, done: (answer: LeaseAnswer) => void): void;
  /** Whether a heartbeat to it would say nothing new; if so, it counts as exchanged. */
  touched(by: MemberId): boolean;
}

interface Link {
  /** What was sent earlier arrives earlier. */
  lastAtMs: number;
  cutSinceMs: number | undefined;
  healedAtMs: number;
}

export class Network {
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  readonly #delayMs: readonly [number, number];
  readonly #peers = new Map<MemberId, Peer>();
  readonly #links = new Map<string, Link>();

  constructor(scheduler: Scheduler, random: Random, delayMs: readonly [number, number]) {
    this.#scheduler = scheduler;
    this.#random = random;
    this.#delayMs = delayMs;
  }

  add(peer: Peer): void {
    this.#peers.set(peer.id, peer);
  }

  #link(from: MemberId, to: MemberId): Link {
    const name = `${from} ${to}`;
    let link = this.#links.get(name);
    if (link === undefined) {
      link = { lastAtMs: 0, cutSinceMs: undefined, healedAtMs: Number.NEGATIVE_INFINITY };
      this.#links.set(name, link);
    }
    return link;
  }

  cut(from: MemberId, to: MemberId): void {
    this.#link(from, to).cutSinceMs ??= this.#scheduler.now();
  }

  heal(a?: MemberId, b?: MemberId): void {
    const now = this.#scheduler.now();
    for (const [name, link] of this.#links) {
      const ends = name.split(' ').map(Number);
      const isMeant = (a === undefined || ends.includes(a)) && (b === undefined || ends.includes(b));
      if (!isMeant || link.cutSinceMs === undefined) continue;
      if (now - link.cutSinceMs >= UNHEARD_MS) link.healedAtMs = now;
      link.cutSinceMs = undefined;
    }
  }

  #isWhole(from: MemberId, to: MemberId): boolean {
    return this.#link(from, to).cutSinceMs === undefined && this.#peers.get(to)?.isUp === true;
  }

  isConnectedSince(from: MemberId, to: MemberId, sinceMs: number): boolean {
    const now = this.#scheduler.now();
    return (
      this.#peers.get(to)?.isUp === true &&
      [this.#link(from, to), this.#link(to, from)].every(
        ({ cutSinceMs, healedAtMs }) => healedAtMs < sinceMs && now - (cutSinceMs ?? now) < UNHEARD_MS,
      )
    );
  }

  send(message: Message, delayMs: number): void {
    const { from, to, type } = message;
    const peer = this.#peers.get(to);
    if (peer === undefined || !this.#isWhole(from, to)) return;
    if (type === 'heartbeat' && message.context === '' && this.#isWhole(to, from) && peer.touched(from))
      return;
    this.#deliver(from, to, delayMs, () => peer.receive(message));
  }

  /** Over HTTP between members. */
  ask(from: MemberId, to: MemberId, call: LeaseCall, done: (answer: LeaseAnswer) => void): void {
    const peer = this.#peers.get(to);
    if (peer?.isUp !== true) {
      this.#deliver(to, from, 0, () => done('failed')); // refused
      return;
    }
    if (!this.#isWhole(from, to)) {
      this.#scheduler.after(DIAL_WITHIN_MS, () => done('failed'));
      return;
    }
    this.#deliver(from, to, 0, () =>
      peer.answer(from, call, (answer) => {
        if (this.#isWhole(to, from)) this.#deliver(to, from, 0, () => done(answer));
      }),
    );
  }

  #deliver(from: MemberId, to: MemberId, delayMs: number, run: () => void): void {
    const [least, most] = this.#delayMs;
    const link = this.#link(from, to);
    const now = this.#scheduler.now();
    const atMs = Math.max(link.lastAtMs, now + delayMs + least + this.#random() * (most - least));
    link.lastAtMs = atMs;
    this.#scheduler.after(atMs - now, () => {
      if (this.#link(from, to).cutSinceMs === undefined) run();
    });
  }
}
