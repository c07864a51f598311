/**
 * Mistakes in what many elections of one client send together. Found where processes stand in many elections. A refusal that
 * spoils a batch is none of them: the simulated etcd refuses only leases that are gone, and each caller repeats that. See
 * `test/unit/batch.test.ts`.
 */
import type { Mutant } from '../../support/mutant.ts';

export const crowdMutants: readonly Mutant[] = [
  {
    name: 'two entries of one election share a batch',
    edits: [{ file: 'core/split.ts', find: '      !elections.has(request.electionKeys) &&\n', replace: '' }],
  },
  {
    name: 'a key that stands already spoils the batch',
    edits: [
      {
        file: 'client/batch.ts',
        find: "outcome.resolve(done === undefined ? 'alone' : { done: done[index]! })",
        replace:
          "done === undefined ? outcome.reject(new EtcdError('refused', 'spoilt', false)) : outcome.resolve({ done: done[index]! })",
      },
    ],
  },
];
