/** Mistakes in what the library does for S1 to S5. Each must be found. */
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
    name: 'a timer tells of the deadline, and nobody asks the clock',
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
    name: 'the wall clock is believed',
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
  { name: 'nobody looks whether the own key stands', edits: noOwnKeyCheck.edits },
  { name: 'the key goes before the work is over', edits: releaseBeforeDrain.edits },
  {
    name: 'the next term begins beside the work of the last',
    edits: [
      {
        file: 'campaign/campaign.ts',
        find: 'await this.#orStopped(callbacks.workSettled());\n',
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
          'if (answer.isPut) return answer.entry;\n    return { ...(await readQueue(transport, electionKeys, limits)), candidacy: answer.found, hidden: 0 };',
      },
    ],
  },
  {
    name: 'answers of another cluster count',
    edits: [
      { file: 'etcd/cluster.ts', find: 'return isOurs;', replace: 'return isOurs || this.id !== undefined;' },
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
