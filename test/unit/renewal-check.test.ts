import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { verdictOf } from '../../src/core/renewal-check.ts';

// S2: what the raft terms of a renewal and of the following read prove together.

describe('S2: a renewal counts only if a read confirms its raft term', () => {
  test.for([
    { what: 'the same leader throughout', renewedIn: 4n, readIn: 4n, newest: 4n, verdict: 'confirmed' },
    {
      what: 'a renewal by a former leader',
      renewedIn: 4n,
      readIn: 5n,
      newest: 4n,
      verdict: 'renewed-too-early',
    },
    {
      what: 'a renewal by a former leader, known from another answer',
      renewedIn: 4n,
      readIn: 5n,
      newest: 5n,
      verdict: 'renewed-too-early',
    },
    {
      what: 'a reader that caught up by a snapshot',
      renewedIn: 5n,
      readIn: 4n,
      newest: 5n,
      verdict: 'read-too-early',
    },
    {
      what: 'both behind the newest known term',
      renewedIn: 4n,
      readIn: 4n,
      newest: 5n,
      verdict: 'read-too-early',
    },
  ])('$what: $verdict', ({ renewedIn, readIn, newest, verdict }) => {
    expect(verdictOf(renewedIn, readIn, newest)).toBe(verdict);
  });

  test('only equal terms confirm, if no newer term is known', () => {
    const term = fc.bigInt({ min: 1n, max: 6n });
    fc.assert(
      fc.property(term, term, term, (renewedIn, readIn, newest) => {
        const isConfirmed = verdictOf(renewedIn, readIn, newest) === 'confirmed';
        expect(isConfirmed).toBe(renewedIn === readIn && readIn >= newest);
      }),
    );
  });
});
