/**
 * Mistakes in the shared requests of many elections of one client. They are found with many elections per
 * process. A refusal that affects a whole batch is not among them: the simulated etcd refuses only expired
 * leases, and each caller repeats that. See `test/unit/batch.test.ts`.
 */
import type { Mutant } from '../../support/mutant.ts';

export const crowdMutants: readonly Mutant[] = [
  {
    name: 'two entries of one election share a batch',
    edits: [{ file: 'core/split.ts', find: '      !elections.has(request.keyPrefix) &&\n', replace: '' }],
  },
  {
    name: 'an existing key makes the batch fail',
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
