/** What a member knows of the others, after etcd's tracker package: what a leader has sent them, and their votes. */
import type { MemberId } from './raft-message.ts';

/** What a leader knows of the log of another member. */
export class Progress {
  /** The last index that the member has confirmed. */
  match = 0;
  /** The index of the next entry to send. */
  next: number;
  /** Whether it was heard since the last check of the quorum. */
  isActive = true;

  constructor(next: number) {
    this.next = next;
  }

  /** MaybeUpdate: the member has the entries up to `index`. @returns false if that is no news. */
  update(index: number): boolean {
    if (index <= this.match) return false;
    this.match = index;
    this.next = Math.max(this.next, index + 1);
    return true;
  }

  /** MaybeDecrTo: the member refused the entries after `index`. @returns false if the refusal is late. */
  reject(index: number, hint: number): boolean {
    if (index <= this.match) return false;
    this.next = Math.max(this.match + 1, Math.min(index, hint + 1));
    return true;
  }
}

export class ProgressTracker {
  readonly #id: MemberId;
  readonly #voters: readonly MemberId[];
  readonly quorum: number;
  /** All other members, also the learners. */
  readonly others: readonly MemberId[];
  /** Known to a leader only. */
  readonly progress = new Map<MemberId, Progress>();
  readonly #votes = new Map<MemberId, boolean>();

  constructor(id: MemberId, voters: readonly MemberId[], learners: readonly MemberId[]) {
    this.#id = id;
    this.#voters = voters;
    this.quorum = Math.floor(voters.length / 2) + 1;
    this.others = [...voters, ...learners].filter((other) => other !== id);
  }

  isVoter(id: MemberId): boolean {
    return this.#voters.includes(id);
  }

  reset(): void {
    this.clearVotes();
    this.progress.clear();
  }

  /** A leader begins: it knows nothing yet of what the others have. */
  lead(next: number): void {
    for (const other of this.others) this.progress.set(other, new Progress(next));
  }

  /** CheckQuorum: whether most members were heard since the last check. */
  takeQuorumActive(): boolean {
    let active = 1;
    for (const [id, progress] of this.progress) {
      if (progress.isActive && this.isVoter(id)) active++;
      progress.isActive = false;
    }
    return active >= this.quorum;
  }

  /**
   * The last index that a quorum of the voters has.
   * @param own the last index of this member.
   */
  quorumIndex(own: number): number {
    const matches = this.#voters.map((voter) => (voter === this.#id ? own : this.progress.get(voter)!.match));
    return matches.sort((a, b) => b - a)[this.quorum - 1]!;
  }

  clearVotes(): void {
    this.#votes.clear();
  }

  /** Only the first answer of a member counts. */
  recordVote(from: MemberId, isYes: boolean): void {
    if (!this.#votes.has(from)) this.#votes.set(from, isYes);
  }

  /** @returns undefined while the result is open. */
  tallyVotes(): 'won' | 'lost' | undefined {
    const votes = [...this.#votes.values()];
    if (votes.filter(Boolean).length >= this.quorum) return 'won';
    return votes.filter((isYes) => !isYes).length >= this.quorum ? 'lost' : undefined;
  }
}
