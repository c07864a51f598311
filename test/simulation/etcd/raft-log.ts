/** One member's raft log, after etcd's log.go: entries after the last snapshot, and how far they are committed. */
export interface Entry {
  readonly term: number;
  readonly index: number;
  /** The proposal; undefined is the empty entry with which a new leader begins. */
  readonly proposal: Proposal | undefined;
}

export interface Proposal {
  /** Known only to the member that waits for the outcome. */
  readonly id: string;
  /** Parsed once, and applied by every member. */
  readonly request: unknown;
}

/** What a leader sends to a follower. */
interface Appended {
  /** The entry before the first one of `entries`, and its term. */
  readonly index: number;
  readonly logTerm: number;
  readonly entries: readonly Entry[];
  /** How far the leader has committed. */
  readonly commit: number;
}

export class RaftLog {
  /** The index before the first entry. */
  #offset = 0;
  #offsetTerm = 0;
  #entries: Entry[] = [];
  /** The first entry that is not on disk. */
  unsavedFrom = Number.POSITIVE_INFINITY;
  commit = 0;
  applied = 0;

  get firstIndex(): number {
    return this.#offset + 1;
  }

  get lastIndex(): number {
    return this.#offset + this.#entries.length;
  }

  get lastTerm(): number {
    return this.#entries.at(-1)?.term ?? this.#offsetTerm;
  }

  /** @returns undefined if the entry is compacted or does not exist yet. */
  termAt(index: number): number | undefined {
    return index === this.#offset ? this.#offsetTerm : this.#entries[index - this.#offset - 1]?.term;
  }

  from(index: number, to = this.lastIndex): readonly Entry[] {
    return this.#entries.slice(index - this.#offset - 1, to - this.#offset);
  }

  append(term: number, proposal: Proposal | undefined): void {
    this.#entries.push({ term, index: this.lastIndex + 1, proposal });
    this.unsavedFrom = Math.min(this.unsavedFrom, this.lastIndex);
  }

  /** For a follower: entries that contradict the leader's are removed. */
  merge(entries: readonly Entry[]): void {
    for (const entry of entries) {
      if (this.termAt(entry.index) === entry.term) continue;
      this.cutFrom(entry.index);
      this.#entries.push(entry);
      this.unsavedFrom = Math.min(this.unsavedFrom, entry.index);
    }
  }

  cutFrom(index: number): void {
    this.#entries.length = Math.min(this.#entries.length, index - this.#offset - 1);
  }

  /** Whether another log with this end is at least as complete. */
  isUpToDate(lastIndex: number, lastTerm: number): boolean {
    return lastTerm > this.lastTerm || (lastTerm === this.lastTerm && lastIndex >= this.lastIndex);
  }

  compact(index: number): void {
    if (index <= this.#offset) return;
    this.#offsetTerm = this.termAt(index)!;
    this.#entries.splice(0, index - this.#offset);
    this.#offset = index;
  }

  commitTo(index: number): void {
    this.commit = Math.max(this.commit, Math.min(index, this.lastIndex));
  }

  /** For a leader. @returns whether more is committed. Only entries of its own term count. */
  maybeCommit(index: number, term: number): boolean {
    if (index <= this.commit || this.termAt(index) !== term) return false;
    this.commit = index;
    return true;
  }

  /**
   * For a follower: appends the leader's entries after the one at `index`.
   * @returns the last index that is the same as the leader's; undefined if the entry at `index` is another one.
   */
  maybeAppend({ index, logTerm, entries, commit }: Appended): number | undefined {
    if (index < this.commit) return this.commit;
    if (this.termAt(index) !== logTerm) return undefined;
    this.merge(entries);
    const last = index + entries.length;
    this.commitTo(Math.min(commit, last));
    return last;
  }

  /** Starts again after a snapshot. @returns false if its entries are already committed here. */
  restore(index: number, term: number): boolean {
    if (index <= this.commit) return false;
    this.#offset = index;
    this.#offsetTerm = term;
    this.#entries = [];
    this.commit = index;
    this.applied = index;
    return true;
  }

  /** The committed entries since the last call, to be applied. */
  takeCommitted(): readonly Entry[] {
    const committed = this.commit > this.applied ? this.from(this.applied + 1, this.commit) : [];
    this.applied = this.commit;
    return committed;
  }

  /** Everything that is not on disk is lost. */
  loseUnsaved(): void {
    if (Number.isFinite(this.unsavedFrom)) this.cutFrom(Math.max(this.unsavedFrom, this.applied + 1));
    this.unsavedFrom = Number.POSITIVE_INFINITY;
    this.commit = Math.min(this.commit, this.lastIndex);
  }
}
