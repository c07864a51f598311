/** The work that a member's raft leaves to its caller, after etcd's rawnode.go: what to write, to send, to apply, to answer. */
import type { Entry, RaftLog } from './raft-log.ts';
import { NONE, type MemberId, type Message, type Snapshot } from './raft-message.ts';

export interface Ready {
  readonly messages: readonly Message[];
  readonly reads: readonly ReadState[];
  readonly committed: readonly Entry[];
  readonly snapshot: Snapshot | undefined;
  /** Whether a follower must write to disk before it sends its messages. */
  readonly mustSync: boolean;
}

export interface ReadState {
  readonly context: string;
  readonly index: number;
}

/** What a member must not forget, besides its log. */
interface HardState {
  readonly term: number;
  readonly votedFor: MemberId;
}

export class PendingWork {
  #messages: Message[] = [];
  #reads: ReadState[] = [];
  #snapshot: Snapshot | undefined;
  /** On disk. */
  #hardState: HardState = { term: 1, votedFor: NONE };

  send(message: Message): void {
    this.#messages.push(message);
  }

  answer(read: ReadState): void {
    this.#reads.push(read);
  }

  install(snapshot: Snapshot): void {
    this.#snapshot = snapshot;
  }

  /** The new work since the last call, for the caller to do. */
  take({ term, votedFor }: HardState, log: RaftLog): Ready {
    const isNewState = term !== this.#hardState.term || votedFor !== this.#hardState.votedFor;
    const ready: Ready = {
      messages: this.#messages,
      reads: this.#reads,
      committed: log.takeCommitted(),
      snapshot: this.#snapshot,
      mustSync: isNewState || Number.isFinite(log.unsavedFrom) || this.#snapshot !== undefined,
    };
    this.#messages = [];
    this.#reads = [];
    this.#snapshot = undefined;
    return ready;
  }

  saved({ term, votedFor }: HardState): void {
    this.#hardState = { term, votedFor };
  }

  /** The process is killed. @returns what is on disk. */
  lose(): HardState {
    this.#messages = [];
    this.#reads = [];
    return this.#hardState;
  }
}
