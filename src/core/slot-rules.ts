/**
 * How a write gets an outcome that is certain even if its answer is lost, as values.
 *
 * A slot is a key of etcd with one writer, who has at most one write under way in it. A write commits only if the slot
 * still has the `mod_revision` that the writer saw last, and leaves its mark there in the same commit. To settle a write
 * whose answer was lost, the writer puts the mark "never" under the same condition. Revisions only grow, so at most one
 * of the two can commit, and whichever did is what stands in the slot. A slot is never cleared: a deleted key has
 * revision 0 again, and a late write that was made for revision 0 would commit.
 */
import assert from 'node:assert/strict';

/** What became of a write: which of its branches ran, or that neither ran, and neither ever will. */
export type Fate = 'then' | 'else' | 'never';

export interface Slot {
  /** `mod_revision` of the slot's key as its writer saw it last; 0 before the first write. */
  readonly seenRevision: bigint;
  /** The write that is under way, or whose answer was lost. */
  readonly pending: string | undefined;
}

/** The slot's key as etcd shows it: revision 0 means that there is none. */
export interface Sight {
  readonly revision: bigint;
  readonly value: string;
}

export const newSlot: Slot = { seenRevision: 0n, pending: undefined };

/** What a write, or what settles it, leaves in its slot. */
export const markOf = (writeId: string, fate: Fate): string => `${writeId} ${fate}`;

/** A write begins. */
export function begin(slot: Slot, writeId: string): Slot {
  assert(slot.pending === undefined, 'one write at a time in a slot');
  return { ...slot, pending: writeId };
}

/** Its answer came, or that of what settled it: the slot's key has this revision now. */
export const done = (_: Slot, revision: bigint): Slot => ({ seenRevision: revision, pending: undefined });

/** It was never sent, or etcd has answered that nothing was written: it cannot come late. */
export const notDone = (slot: Slot): Slot => ({ ...slot, pending: undefined });

/**
 * Looks at the slot to learn what became of the pending write.
 *
 * @returns `open` while it has not arrived, and still may; `unknowable` if its mark is gone: the lease took the slot
 *   away, or a foreign hand wrote there.
 */
export function look(slot: Slot, sight: Sight): { slot: Slot; fate: Fate | 'open' | 'unknowable' } {
  const { pending } = slot;
  assert(pending !== undefined, 'nothing to look for');
  if (sight.revision === slot.seenRevision) return { slot, fate: 'open' };
  const fate = (['then', 'else', 'never'] as const).find((one) => sight.value === markOf(pending, one));
  return { slot: done(slot, sight.revision), fate: fate ?? 'unknowable' };
}
