/** Mistakes in how the library fences writes, and learns what became of them: S1. Each must be found. */
import type { Mutant } from './mutant.ts';

export const writeMutants: readonly Mutant[] = [
  {
    name: 'writes are not fenced',
    edits: [
      {
        file: 'etcd/fenced-txn.ts',
        find: 'createdAt(candidacy.key, candidacy.createRevision)',
        replace: "createdAt('no such key', 0n)",
      },
    ],
  },
  {
    name: 'the else branch runs outside the fence',
    edits: [
      {
        file: 'etcd/fenced-txn.ts',
        find: 'success: isNested ? [{ request_txn: txn }] : txn.success,',
        replace: 'success: isNested ? [{ request_txn: txn }] : txn.success, failure: txn.failure,',
      },
    ],
  },
  {
    name: 'what may have happened is sent again',
    edits: [
      {
        file: 'etcd/calls.ts',
        find: "fault.kind === 'unavailable' && !fault.mayHaveHappened;",
        replace: "fault.kind === 'unavailable';",
      },
    ],
  },
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
    name: 'a write is settled by a look',
    edits: [
      {
        file: 'term/write-slots.ts',
        find: 'await (wasAnswered ? lookIntoSlot : settleInSlot)(',
        replace: 'await (wasAnswered || limits !== undefined ? lookIntoSlot : settleInSlot)(',
      },
    ],
  },
];
