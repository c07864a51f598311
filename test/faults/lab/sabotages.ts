/** Mistakes that the lab must find: tests of the tests. Other libraries really made the first three. */
import type { Mutant } from '../../support/mutant.ts';

export const deadlineDoubled: Mutant = {
  name: 'deadline-doubled',
  edits: [
    {
      file: 'core/deadline.ts',
      find: 'return sentAtMs + grantedTtlSeconds * 1000;',
      replace: 'return sentAtMs + grantedTtlSeconds * 2000;',
    },
  ],
};

export const releaseBeforeDrain: Mutant = {
  name: 'release-before-drain',
  edits: [
    {
      file: 'campaign/turn.ts',
      find: 'if (term !== undefined) {\n      const successor',
      replace: 'if (term === null) {\n      const successor',
    },
  ],
};

export const noOwnKeyCheck: Mutant = {
  name: 'no-own-key-check',
  edits: [
    {
      file: 'core/candidate-queue.ts',
      find: 'found?.fencingToken === createRevision && found.leaseId === leaseId;',
      replace: "`${found?.fencingToken} ${createRevision}` !== '' && leaseId !== '';",
    },
    {
      // A write with a failed fence must not reveal it either.
      file: 'campaign/term-start.ts',
      find: "evicted: () => lose('evicted'),",
      replace: 'evicted: () => undefined,',
    },
  ],
};

/** As etcd3 does with every write: resends it to the next host after a lost answer. */
export const writesRepeated: Mutant = {
  name: 'writes-repeated',
  edits: [
    {
      file: 'etcd/calls.ts',
      find: "fault.kind === 'unavailable' && !fault.mayHaveHappened;",
      replace: "fault.kind === 'unavailable';",
    },
  ],
};

/** A transaction that does not check the term. */
export const fenceLeftOut: Mutant = {
  name: 'fence-left-out',
  edits: [
    {
      file: 'etcd/fenced-txn.ts',
      find: 'createdAt(candidacy.key, candidacy.createRevision)',
      replace: "createdAt('no such key', 0n)",
    },
  ],
};

/** The fence and the user's comparisons are in one list: the user's `else` runs when the fence fails. */
export const elseOutsideFence: Mutant = {
  name: 'else-outside-fence',
  edits: [
    {
      file: 'etcd/fenced-txn.ts',
      find: 'success: isNested ? [{ request_txn: txn }] : txn.success,',
      replace: 'success: isNested ? [{ request_txn: txn }] : txn.success, failure: txn.failure,',
    },
  ],
};

/** Accepts a renewal from any member, as Go's client and etcd3 do. */
export const unconfirmedRenewals: Mutant = {
  name: 'unconfirmed-renewals',
  edits: [
    {
      file: 'etcd/lease.ts',
      find: 'return isConfirmed(this.#transport, { raftTerm, host }, this.#ownKey(), limits);',
      replace: 'return Promise.resolve(host !== undefined && raftTerm > 0n && limits !== undefined);',
    },
  ],
};

/** A clock that trusts CLOCK_MONOTONIC, as `performance.now()` and all timers do. */
export const suspensionUnnoticed: Mutant = {
  name: 'suspension-unnoticed',
  edits: [
    { file: 'util/clock.ts', find: 'return monotonic + this.#suspendedMs;', replace: 'return monotonic;' },
  ],
};
