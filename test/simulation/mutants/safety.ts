/** Mistakes in the code for S1 to S5. Each must be found. */
import {
  deadlineDoubled,
  noOwnKeyCheck,
  releaseBeforeDrain,
  suspensionUnnoticed,
  unconfirmedRenewals,
} from '../../faults/lab/sabotages.ts';
import type { Mutant } from '../../support/mutant.ts';

export const safetyMutants: readonly Mutant[] = [
  { name: 'renewals are not confirmed', edits: unconfirmedRenewals.edits },
  {
    name: 'a read in a later raft term confirms a renewal',
    edits: [
      {
        file: 'core/renewal-check.ts',
        find: "return readIn === renewedIn ? 'confirmed'",
        replace: "return readIn >= renewedIn ? 'confirmed'",
      },
    ],
  },
  {
    name: 'a renewal counts from its answer',
    edits: [
      {
        file: 'etcd/lease.ts',
        find: 'return { stream, raftTerm, proof: { sentAtMs,',
        replace: 'return { stream, raftTerm, proof: { sentAtMs: Math.max(sentAtMs, clock.now()),',
      },
    ],
  },
  {
    name: 'a renewal counts from its confirmation',
    edits: [
      {
        file: 'client/session.ts',
        find: 'this.#proof = proof;\n        this.#renewed(',
        replace: 'this.#proof = { ...proof, sentAtMs: clock.now() };\n        this.#renewed(',
      },
    ],
  },
  {
    name: 'a grant counts from its answer',
    edits: [
      {
        file: 'etcd/lease.ts',
        find: 'return { sentAtMs, grantedTtlSeconds: Number(TTL) };\n  } catch',
        replace:
          'return { sentAtMs: Math.max(sentAtMs, clock.now()), grantedTtlSeconds: Number(TTL) };\n  } catch',
      },
    ],
  },
  {
    name: 'no margin',
    edits: [
      {
        file: 'core/deadline.ts',
        find: 'return expiresAtMs(proof) - marginMs;',
        replace: 'return expiresAtMs(proof);',
      },
    ],
  },
  { name: 'the deadline is two TTLs away', edits: deadlineDoubled.edits },
  {
    name: 'only a timer announces the deadline, and the clock is not read',
    edits: [
      {
        file: 'client/session.ts',
        find: 'if (this.#ended !== undefined) return 0;',
        replace: 'if (this.#ended === undefined) return this.ttlMs;',
      },
    ],
  },
  { name: 'suspended time does not count', edits: suspensionUnnoticed.edits },
  {
    name: 'the wall clock is trusted',
    edits: [
      {
        file: 'util/clock.ts',
        find: 'return monotonic + this.#suspendedMs;',
        replace: 'return this.#readings.wallMs();',
      },
    ],
  },
  {
    name: 'the second in the queue leads too',
    edits: [
      {
        file: 'campaign/turn.ts',
        find: 'else if (queueWatcher.queue.olderThan(candidacy) === 0)',
        replace: 'else if (queueWatcher.queue.olderThan(candidacy) <= 1)',
      },
    ],
  },
  { name: 'the own key is not checked', edits: noOwnKeyCheck.edits },
  { name: 'the key is deleted before the work has stopped', edits: releaseBeforeDrain.edits },
  {
    name: 'the next term begins beside the work of the previous one',
    edits: [
      {
        file: 'campaign/callbacks.ts',
        find: 'await this.#term?.work.settled();\n',
        replace: '',
      },
    ],
  },
  {
    name: 'a token is used twice',
    edits: [
      {
        file: 'etcd/election-keys.ts',
        find: 'if (answer.isPut) return answer.entry;',
        replace:
          'if (answer.isPut) return answer.entry;\n    return { ...(await readQueue(transport, keyPrefix, limits)), candidacy: answer.found, hidden: 0 };',
      },
      // After a lost history the session deletes such a key before the entry finds it.
      {
        file: 'client/session-pool.ts',
        find: 'this.#current?.pendingDeletes.historyLost()',
        replace: 'undefined',
      },
    ],
  },
  {
    name: 'answers of another cluster count',
    edits: [
      {
        file: 'etcd/cluster.ts',
        find: 'return clusterId === this.id;',
        replace: 'return this.id !== undefined;',
      },
      {
        file: 'etcd/cluster.ts',
        find: 'return said !== undefined && said !== this.#pin?.clusterId;',
        replace: 'return said === null;',
      },
    ],
  },
  {
    name: 'a lost session does not end the term',
    edits: [
      {
        file: 'campaign/turn.ts',
        find: "finish({ type: 'lost', reason: end === 'deadline-passed' ? end : 'lease-lost' }),",
        replace: 'void end,',
      },
      {
        file: 'client/session.ts',
        find: 'if (this.#ended !== undefined) return 0;',
        replace: 'if (this.#ended !== undefined) return 1;',
      },
    ],
  },
];
