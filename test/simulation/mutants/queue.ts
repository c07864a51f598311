/** Mistakes in how a candidate far back follows its queue. They are found in long queues. */
import type { Mutant } from '../../support/mutant.ts';

export const queueMutants: readonly Mutant[] = [
  {
    name: 'a candidate far back leads when all known candidates ahead have left',
    edits: [
      {
        file: 'core/candidate-queue.ts',
        find: 'return this.#gap !== undefined && createRevision >= this.#gap.before;',
        replace: 'return this.#gap !== undefined && createRevision < 0n;',
      },
      {
        file: 'core/queue-part.ts',
        find: 'const known = leader === undefined ? ahead : [leader, ...ahead];',
        replace: 'const known = [ahead[0]];',
      },
    ],
  },
  {
    name: 'a candidate far back does not read again when its neighbours leave',
    edits: [
      {
        file: 'core/queue-part.ts',
        find: 'queue.get(key)?.fencingToken !== fencingToken',
        replace: 'queue.get(key)?.fencingToken === -fencingToken',
      },
    ],
  },
  {
    name: 'a candidate far back shows the first leader for ever',
    edits: [
      {
        file: 'etcd/neighbourhood.ts',
        find: 'leader: stillLeads,',
        replace: 'leader: leader ?? stillLeads,',
      },
      {
        file: 'campaign/queue-scope.ts',
        find: 'return leader === undefined ? keys : [...keys, leader.key];',
        replace: 'return keys;',
      },
    ],
  },
  {
    name: 'the neighbours are watched from one revision too late',
    edits: [
      {
        file: 'campaign/queue-scope.ts',
        find: 'return { revision: seen.revision, show };',
        replace: 'return { revision: seen.revision + 3n, show };',
      },
    ],
  },
];
