import fc from 'fast-check';
import { expect, test } from 'vitest';
import { voteOf } from '../../src/core/cluster-vote.ts';

const calm = { isRollCall: false, isQuiet: false };
const quiet = { isRollCall: false, isQuiet: true };
const polling = { isRollCall: true, isQuiet: false };
const byMajority = { clusterId: 'A', isByMajority: true };
const alone = { clusterId: 'A', isByMajority: false };

test('the majority of the configured hosts decides, not that of the hosts that answered', () => {
  expect(voteOf(['B', 'A', 'A'], undefined, polling)).toEqual(byMajority);
  expect(voteOf(['A', undefined, undefined], undefined, polling)).toBeUndefined();
  expect(voteOf(['A', undefined, undefined], undefined, calm)).toEqual(alone);
  expect(voteOf(['A'], undefined, polling)).toEqual(byMajority);
});

test('contradicting hosts without a majority decide nothing', () => {
  expect(voteOf(['A', 'B'], undefined, calm)).toBeUndefined();
  expect(voteOf(['A', 'B', undefined], undefined, quiet)).toBeUndefined();
  expect(voteOf([undefined, undefined], undefined, calm)).toBeUndefined();
});

test('a majority replaces the decision of a minority', () => {
  expect(voteOf(['A', 'B', undefined], alone, calm)).toEqual(alone);
  expect(voteOf(['A', 'B', 'B'], alone, calm)).toEqual({ clusterId: 'B', isByMajority: true });
  expect(voteOf(['A', 'A', undefined], alone, calm)).toEqual(byMajority);
});

test('the decision of a majority changes only if no host reports its cluster and the client is quiet', () => {
  expect(voteOf(['A', 'B', 'B'], byMajority, quiet)).toEqual(byMajority);
  expect(voteOf(['B', 'B', 'B'], byMajority, calm)).toEqual(byMajority);
  expect(voteOf(['B', 'B', 'B'], byMajority, quiet)).toEqual({ clusterId: 'B', isByMajority: true });
  expect(voteOf(['B', 'B', undefined], byMajority, quiet)).toEqual({ clusterId: 'B', isByMajority: true });
});

test('two clients with the same hosts never decide for different clusters by majority', () => {
  const answers = fc.array(fc.constantFrom('A', 'B', undefined), { minLength: 3, maxLength: 3 });
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom('A', 'B'), { minLength: 3, maxLength: 3 }),
      answers,
      answers,
      (truth, one, two) => {
        const heard = (mask: readonly (string | undefined)[]) => truth.map((id, at) => mask[at] && id);
        const [first, second] = [voteOf(heard(one), undefined, calm), voteOf(heard(two), undefined, calm)];
        if (first?.isByMajority === true && second?.isByMajority === true) expect(first).toEqual(second);
      },
    ),
  );
});
