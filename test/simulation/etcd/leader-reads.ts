/** Linearizable reads at a leader, after etcd's readOnly: each waits until a quorum confirms that it still leads. */
import type { MemberId } from './raft-message.ts';

export interface Read {
  readonly context: string;
  readonly from: MemberId;
  /** The commit index when it arrived. */
  readonly index: number;
}

export class LeaderReads {
  #reads: (Read & { readonly acks: Set<MemberId> })[] = [];
  /** Reads that arrived before this leader had committed an entry. */
  #early: { readonly from: MemberId; readonly context: string }[] = [];

  get isEmpty(): boolean {
    return this.#reads.length === 0;
  }

  /** The context that the next heartbeats ask to confirm: the last one, which confirms all earlier ones. */
  get lastContext(): string {
    return this.#reads.at(-1)?.context ?? '';
  }

  clear(): void {
    this.#reads = [];
    this.#early = [];
  }

  postpone(from: MemberId, context: string): void {
    this.#early.push({ from, context });
  }

  takeEarly(): readonly { readonly from: MemberId; readonly context: string }[] {
    return this.#early.splice(0);
  }

  /** @param leader confirms it itself. */
  add(read: Read, leader: MemberId): void {
    if (this.#reads.some(({ context }) => context === read.context)) return;
    this.#reads.push({ ...read, acks: new Set([leader]) });
  }

  /**
   * recvAck and advance: a confirmed read confirms all earlier ones.
   * @returns those that a quorum has confirmed.
   */
  acknowledge(from: MemberId | undefined, context: string, quorum: number): readonly Read[] {
    const at = this.#reads.findIndex((read) => read.context === context);
    if (at < 0) return [];
    const { acks } = this.#reads[at]!;
    if (from !== undefined) acks.add(from);
    return acks.size < quorum ? [] : this.#reads.splice(0, at + 1);
  }
}
