/** Mistakes in the code for L1 to L5, and in its bounds. Each must be found. */
import type { Mutant } from '../../support/mutant.ts';

export const livenessMutants: readonly Mutant[] = [
  {
    name: 'a watch begins one revision too late',
    edits: [
      {
        file: 'etcd/watch-requests.ts',
        find: 'start_revision: (readAt + 1n).toString(),',
        replace: 'start_revision: (readAt + 2n).toString(),',
      },
    ],
  },
  {
    name: 'a watch is replaced without a read of the queue',
    edits: [
      {
        file: 'campaign/queue-watcher.ts',
        find: 'read.show();\n    this.#confirm(askedAtMs);',
        replace: 'this.#confirm(askedAtMs);',
      },
    ],
  },
  {
    name: 'a silent watch is trusted',
    edits: [
      {
        file: 'etcd/watch-probe.ts',
        find: 'if (this.#isStopped) return;\n    // A member',
        replace: 'if (!this.#isStopped) return;\n    // A member',
      },
    ],
  },
  {
    name: 'a lagging member is trusted',
    edits: [
      {
        file: 'etcd/watch-probe.ts',
        find: 'if (revision >= reached.revision || reached.era !== known.era) question.end();',
        replace: 'if (revision >= 0n || reached.era !== known.era) question.end();',
      },
    ],
  },
  {
    name: 'a key with an unanswered release is forgotten',
    edits: [
      {
        file: 'campaign/candidate-key.ts',
        find: 'session.pendingDeletes.add(key, mayComeLate ? releaseUnconfirmed : release, lateUntilMs);',
        replace: '',
      },
    ],
  },
  {
    name: 'a put that may arrive late is not deleted',
    edits: [
      {
        file: 'campaign/candidate-key.ts',
        find: 'const unconfirmed = candidacy === undefined && this.#unconfirmed;',
        replace: 'const unconfirmed = candidacy === null && this.#unconfirmed;',
      },
      {
        file: 'campaign/candidate-key.ts',
        find: 'if (this.#unconfirmed) this.#lateUntilMs = clock.now() + LATE_MS;',
        replace: '',
      },
    ],
  },
  {
    name: 'a call has no limit',
    edits: [
      {
        file: 'etcd/unary.ts',
        find: 'const cancelTimer = afterTurn(withinMs, () => {',
        replace: 'const cancelTimer = afterTurn(withinMs * 100, () => {',
      },
    ],
  },
  {
    name: 'a silent connection is kept',
    edits: [
      {
        file: 'etcd/unary.ts',
        find: 'ask.onTimeout();',
        replace: '',
      },
      {
        file: 'etcd/stream.ts',
        find: 'end();\n      members.silent(host, client);',
        replace: 'end();',
      },
    ],
  },
  {
    name: 'retries after an outage are too rare',
    edits: [
      {
        file: 'client/reconnect-backoff.ts',
        find: '  baseMs: 100,\n  capMs: 2_200,\n  outsideCapMs: 2_200,',
        replace: '  baseMs: 10_000,\n  capMs: 120_000,\n  outsideCapMs: 120_000,',
      },
    ],
  },
  {
    name: 'the guard forgets after one success',
    edits: [
      {
        file: 'core/guard-rules.ts',
        find: 'return heldMs >= limits.healthyAfterMs ?',
        replace: 'return heldMs >= 0 || limits.healthyAfterMs < 0 ?',
      },
      {
        file: 'campaign/round-guard.ts',
        find: 'guard.cameThrough();',
        replace: 'guard.cameThrough();\n    guard.healthyFor(0, settings.guard, report.guard);',
      },
    ],
  },
  {
    name: 'rounds are not held',
    edits: [
      {
        file: 'core/guard-rules.ts',
        find: 'if (streak <= limits.burst) return',
        replace: 'if (streak > 0) return',
      },
    ],
  },
  {
    name: 'log lines have no quota',
    edits: [
      {
        file: 'logging/event-log.ts',
        find: 'return this.#spend(this.#sharesOf(event, level));',
        replace: 'return this.#sharesOf(event, level).length > 0 ? 0 : 0;',
      },
    ],
  },
  {
    name: 'a lost history is not noticed',
    edits: [
      {
        file: 'etcd/history.ts',
        find: "(proves !== 'nothing' && revision < asked.revision) ||\n      (proves === 'revision-and-term' && raftTerm < asked.raftTerm);",
        replace: "proves === 'nothing' && revision < 0n;",
      },
    ],
  },
  {
    name: 'close() leaves the streams open',
    edits: [
      {
        file: 'etcd/uses.ts',
        find: 'if (this.#uses.size === 0) this.#end();',
        replace: '',
      },
    ],
  },
];
