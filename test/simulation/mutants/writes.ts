/** Mistakes in how the library fences writes and learns their outcome: S1. Each must be found. */
import { elseOutsideFence, fenceLeftOut, writesRepeated } from '../../faults/lab/sabotages.ts';
import type { Mutant } from '../../support/mutant.ts';

export const writeMutants: readonly Mutant[] = [
  { name: 'writes are not fenced', edits: fenceLeftOut.edits },
  { name: 'the else branch runs outside the fence', edits: elseOutsideFence.edits },
  { name: 'a write that may have happened is sent again', edits: writesRepeated.edits },
  {
    name: 'a lost answer means that nothing happened',
    edits: [
      {
        file: 'etcd/etcd-error.ts',
        find: "if (!BY_ETCD.test(said)) return fault('unavailable', true);",
        replace: "if (!BY_ETCD.test(said)) return fault('unavailable', false);",
      },
    ],
  },
  {
    name: 'a write in a slot does not compare its revision',
    edits: [
      {
        file: 'etcd/slot-txn.ts',
        find: 'compare: [createdAt(candidacy.key, candidacy.createRevision), lastSeen(write)],',
        replace: 'compare: [createdAt(candidacy.key, candidacy.createRevision)],',
      },
    ],
  },
  {
    name: 'a write is settled by a read',
    edits: [
      {
        file: 'term/write-slots.ts',
        find: 'await (wasAnswered ? lookIntoSlot : settleInSlot)(',
        replace: 'await (wasAnswered || limits !== undefined ? lookIntoSlot : settleInSlot)(',
      },
    ],
  },
];
