import { describe, expect, test } from 'vitest';
import { overlaps } from '../../faults/lab/checker.ts';
import { readHistory } from '../../faults/lab/history.ts';
import { seeded } from '../../faults/lab/seeded.ts';
import { fault, findings, good, term } from './sample-evidence.ts';

test('a good history has no findings', () => {
  expect(findings({})).toEqual([]);
});

describe('who acts when', () => {
  test('two terms with a common instant overlap by its length', () => {
    const acting = [term('alice', 1n, 0, 1000), term('bob', 2n, 990, 3000)];
    expect(overlaps({ ...good, acting, faults: [] })).toMatchObject([{ promise: 'S2', ms: 10 }]);
    expect(findings({ acting })).toHaveLength(1);
  });

  test('a leader that pauses and acts again overlaps with all leaders in between', () => {
    const acting = [term('alice', 1n, 0, 5000), term('bob', 2n, 1000, 2000), term('carol', 3n, 3000, 4000)];
    expect(overlaps({ ...good, acting, faults: [] }).map(({ ms }) => ms)).toEqual([1000, 1000]);
  });

  test('two terms of one process may not overlap either', () => {
    expect(
      overlaps({ ...good, acting: [term('alice', 1n, 0, 1000), term('alice', 2n, 1000, 2000)], faults: [] }),
    ).toHaveLength(1);
  });

  test('an overlap after an operator took the key counts under S4, and only beyond one TTL', () => {
    const short = [term('alice', 1n, 0, 1010), term('bob', 2n, 1000, 9000)];
    const long = [term('alice', 1n, 0, 3100), term('bob', 2n, 1000, 9000)];
    const faults = [fault('delete-key', 990, 995, { evicts: 'alice' })];
    expect(findings({ acting: short, faults, endMs: 9000 })).toEqual([]);
    expect(findings({ acting: long, faults, endMs: 9000 })).toEqual([
      expect.stringContaining('S4: two leaders for 2100'),
    ]);
    expect(findings({ acting: short, faults: [{ ...faults[0]!, evicts: 'bob' }], endMs: 9000 })).toEqual([
      expect.stringContaining('S2'),
    ]);
  });

  test('an overlap after etcd took the key on its return from a freeze counts under S4 too', () => {
    const acting = [{ ...term('alice', 1n, 0, 1010), endedBecause: 'evicted' }, term('bob', 2n, 1000, 9000)];
    const thawed = fault('freeze-etcd-leader', 500, 990, { touchesEtcd: true });
    const restarted = fault('restart-all', 500, 990, { touchesEtcd: true });
    expect(findings({ acting, faults: [restarted], endMs: 9000 })).toEqual([expect.stringContaining('S2')]);
    expect(findings({ acting, faults: [thawed], endMs: 9000 })).toEqual([]);
    const longAgo = { ...thawed, fromMs: -5000, toMs: -4000 };
    expect(findings({ acting, faults: [longAgo], endMs: 9000 })).toEqual([expect.stringContaining('S2')]);
    const held = [{ ...acting[0]!, endedBecause: 'deadline-passed' }, acting[1]!];
    expect(findings({ acting: held, faults: [thawed], endMs: 9000 })).toEqual([
      expect.stringContaining('S2'),
    ]);
  });

  test('after a freeze of etcd an evicted leader may act for a moment after a later term, but no two terms share a token', () => {
    const acting = [term('bob', 3n, 0, 1000), { ...term('alice', 2n, 1500, 1501), endedBecause: 'evicted' }];
    const thawed = fault('freeze-etcd-leader', 500, 1490, { touchesEtcd: true });
    expect(findings({ acting, faults: [thawed] })).toEqual([]);
    expect(findings({ acting })).toEqual([expect.stringContaining('tokens do not increase')]);
    const twice = [acting[0]!, { ...acting[1]!, token: 3n }];
    expect(findings({ acting: twice, faults: [thawed] })).toHaveLength(1);
  });

  test('an operator may take the key of a blocked process, which then first hears that its predecessor is gone', () => {
    const acting = [term('bob', 3n, 0, 5000), { ...term('alice', 2n, 1500, 1501), endedBecause: 'evicted' }];
    const taken = fault('delete-key', 900, 910, { evicts: 'alice' });
    expect(findings({ acting, faults: [taken] })).toEqual([]);
    for (const [why, faults] of [
      ['the key of another process', [{ ...taken, evicts: 'bob' }]],
      ['long before', [{ ...taken, fromMs: 1500 - good.grantedTtlMs - 1 }]],
      ['only afterwards', [{ ...taken, fromMs: 1502 }]],
    ] as const)
      expect(findings({ acting, faults }), why).not.toEqual([]);
    const held = [acting[0]!, { ...acting[1]!, endedBecause: 'deadline-passed' }];
    expect(findings({ acting: held, faults: [taken] })).not.toEqual([]);
  });

  test('such a leader counts under S4 if it overlaps with a later term, and under S2 if its own token is the larger one', () => {
    const late = { ...term('alice', 2n, 990, 1001), endedBecause: 'evicted' };
    const acting = [term('bob', 3n, 0, 1000), late];
    const thawed = fault('freeze-etcd-leader', 500, 980, { touchesEtcd: true });
    expect(overlaps({ ...good, acting, faults: [thawed] })).toMatchObject([
      { promise: 'S4', byEtcd: true, ms: 10 },
    ]);
    expect(findings({ acting, faults: [thawed] })).toEqual([]);
    expect(overlaps({ ...good, acting, faults: [] })).toMatchObject([{ promise: 'S2' }]);
    const rightful = [acting[0]!, { ...late, token: 4n }];
    expect(overlaps({ ...good, acting: rightful, faults: [thawed] })).toMatchObject([{ promise: 'S2' }]);
  });

  test('decreasing and repeated tokens are found', () => {
    expect(findings({ acting: [term('alice', 2n, 0, 1000), term('bob', 1n, 1500, 3000)] })).toEqual([
      expect.stringContaining('S1: tokens do not increase'),
    ]);
    expect(findings({ acting: [term('alice', 2n, 0, 1000), term('alice', 2n, 1500, 3000)] })).toHaveLength(1);
  });

  test('a term that ends without a reason is found, except after a kill or at the end', () => {
    const silent = { ...term('alice', 1n, 0, 1000), endedBecause: undefined };
    const acting = [silent, term('bob', 2n, 1500, 3000)];
    expect(findings({ acting })).toEqual([expect.stringContaining('S4: alice (token 1) stopped without')]);
    expect(findings({ acting, kills: [{ process: 'alice', atMs: 1001 }] })).toEqual([]);
    expect(findings({ acting, kills: [{ process: 'alice', atMs: 500 }] })).toHaveLength(1);
    expect(findings({ acting: [silent], endMs: 1000 })).toEqual([]);
  });

  test('a key that is deleted before the work stopped is found, except after a fault', () => {
    const acting = [{ ...term('alice', 1n, 0, 1000), workedUntilMs: 1300 }, term('bob', 2n, 1010, 3000)];
    expect(findings({ acting })).toEqual([expect.stringContaining('S5: bob (token 2) led 290.0 ms before')]);
    expect(findings({ acting, faults: [fault('cut', 900, 1100)] })).toEqual([]);
  });
});

describe('the record of a process', () => {
  test('can be read, without a line that SIGKILL cut short', () => {
    const text = [
      'T 7 999000000',
      'S 7 1000000000',
      'I etcd 7 1 1000000000',
      'A etcd 7 1 1001000000',
      'I http 7 2 1002000000',
      'R http 7 2 1003000000',
      'I etcd 7 3 1004000000',
      'S 7 1004000000',
      'E 7 evicted',
      'W 7 1010000000',
      'X ELECTION_UNAVAILABLE',
      'S 8 2000',
      'S 8 30',
    ].join('\n');
    const { acting, appends, errors } = readHistory('alice', text);
    expect(acting).toEqual([
      {
        process: 'alice',
        token: 7n,
        electedMs: 999,
        firstMs: 1000,
        lastMs: 1004,
        stamps: 2,
        longestPauseMs: 4,
        endedBecause: 'evicted',
        workedUntilMs: 1010,
      },
      expect.objectContaining({ token: 8n, firstMs: 0.002, stamps: 1 }),
    ]);
    expect(
      appends.map(({ to, counter, outcome, sentMs, answeredMs }) => [
        to,
        counter,
        outcome,
        sentMs,
        answeredMs,
      ]),
    ).toEqual([
      ['etcd', 1, 'acknowledged', 1000, 1001],
      ['http', 2, 'refused', 1002, 1003],
      ['etcd', 3, undefined, 1004, Number.POSITIVE_INFINITY],
    ]);
    expect(errors).toEqual(new Map([['ELECTION_UNAVAILABLE', 1]]));
  });

  test('has a new term for a token that returns after history was cut', () => {
    const lines = ['T 2 1000000', 'S 2 2000000', 'E 2 lost', 'T 2 5000000', 'S 2 6000000', ''];
    const { acting } = readHistory('alice', lines.join('\n'));
    expect(acting).toMatchObject([
      { token: 2n, electedMs: 1, firstMs: 2, lastMs: 2, endedBecause: 'lost' },
      { token: 2n, electedMs: 5, firstMs: 6, lastMs: 6, endedBecause: undefined },
    ]);
  });

  test('a seed always gives the same numbers', () => {
    const draw = (): number[] => {
      const random = seeded(42);
      return [random.next(), random.between(1, 6), random.between(1, 6)];
    };
    expect(draw()).toEqual(draw());
  });
});
