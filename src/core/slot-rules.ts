/**
 * The rules of write slots. A slot makes the outcome of a write certain, even if its answer is lost. The section “Slots” of
 * docs/design.md has the protocol, and says why it is right.
 *
 * We never delete a slot. The first write of a slot expects revision 0, the revision of a missing key. So after a delete, a
 * late first write would commit. etcd itself deletes a slot with its lease. A late copy of the lease request can then create
 * the lease again, without the slot. Under that lease, a late first write would commit.
 *
 * The mark "never" in a slot says that a write will never commit. For the first write of a slot, the mark proves this only
 * until the deadline of the lease.
 */
import assert from 'node:assert/strict';

/** The outcome of a write: the branch of its transaction that ran. `never` if neither ran and neither ever will. */
export type Fate = 'then' | 'else' | 'never';

export interface Slot {
  /** The last `mod_revision` of the slot's key that we saw; 0 before the first write. */
  readonly seenRevision: bigint;
  /** ID of the write that is under way, or whose answer was lost. */
  readonly pending: string | undefined;
}

/** The slot's key as read from etcd. Revision 0 means that the key does not exist. */
export interface Sight {
  readonly revision: bigint;
  readonly value: string;
}

export const newSlot: Slot = { seenRevision: 0n, pending: undefined };

/** The mark that a write, or the settling of a write, leaves in its slot. */
export const markOf = (writeId: string, fate: Fate): string => `${writeId} ${fate}`;

/** The slot after a write has begun. */
export function beginWrite(slot: Slot, writeId: string): Slot {
  assert(slot.pending === undefined, 'one write at a time in a slot');
  return { ...slot, pending: writeId };
}

/** The slot after etcd has answered the write, or the settling of the write. The slot's key now has this revision. */
export const done = (revision: bigint): Slot => ({ seenRevision: revision, pending: undefined });

/** The slot after a write that cannot arrive late: it was not sent, or etcd answered that nothing was written. */
export const notDone = (slot: Slot): Slot => ({ ...slot, pending: undefined });

/**
 * Finds the outcome of the pending write from the contents of the slot.
 *
 * @returns `open` if the write has not arrived and may still arrive. `unknowable` if its mark is gone, because the slot was
 *   deleted with its lease or another client wrote there.
 */
export function inspect(slot: Slot, sight: Sight): { slot: Slot; fate: Fate | 'open' | 'unknowable' } {
  const { pending } = slot;
  assert(pending !== undefined, 'nothing to look for');
  if (sight.revision === slot.seenRevision) return { slot, fate: 'open' };
  const fate = (['then', 'else', 'never'] as const).find((one) => sight.value === markOf(pending, one));
  return { slot: done(sight.revision), fate: fate ?? 'unknowable' };
}
