/**
 * One member's raft log: entries after the last snapshot.
 */
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

export class RaftLog {
  /** The index before the first entry. */
  #offset = 0;
  #offsetTerm = 0;
  #entries: Entry[] = [];
  /** The first entry that is not on disk. */
  unsavedFrom = Number.POSITIVE_INFINITY;

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

  /** Starts again after a snapshot. */
  reset(index: number, term: number): void {
    this.#offset = index;
    this.#offsetTerm = term;
    this.#entries = [];
  }
}
