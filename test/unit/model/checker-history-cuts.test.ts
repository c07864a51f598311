import { describe, expect, test } from 'vitest';
import { overlaps } from '../../faults/lab/checker.ts';
import type { Evidence, HistoryCut } from '../../faults/lab/evidence.ts';
import { append, entry, fault, findings, good, term } from './sample-evidence.ts';

// What a wipe or a restore excuses, and nothing else.
describe('etcd loses its history', () => {
  const cut = (change: Partial<HistoryCut> = {}): HistoryCut => ({
    fromMs: 1000,
    atMs: 1500,
    before: { logs: { etcd: [entry(1, 10n)], http: [] }, timesWritten: 1, elseBranches: [] },
    base: [],
    keysBack: [],
    ...change,
  });
  /** Until 1500 ms the old history with one append; then the new history with another. */
  const lived: Partial<Evidence> = {
    acting: [term('alice', 9n, 0, 1200), term('bob', 2n, 1600, 3000)],
    appends: [append(1, 'acknowledged'), append(2, 'acknowledged', 2n, [1700, 1701])],
    logs: { etcd: [entry(2, 4n, 2n)], http: [] },
    timesWritten: 1,
    cuts: [cut()],
  };
  /** The same, with the first append in the snapshot. */
  const restored: Partial<Evidence> = {
    ...lived,
    logs: { etcd: [entry(1, 3n), entry(2, 4n, 2n)], http: [] },
    timesWritten: 2,
    cuts: [cut({ base: [entry(1, 3n)] })],
  };
  const after = (change: Partial<Evidence>): string[] => findings({ ...lived, ...change });

  test('the earlier log does not count as lost, and tokens start again', () => {
    expect(after({})).toEqual([]);
    expect(findings(restored)).toEqual([]);
    expect(after({ cuts: [] })).not.toEqual([]);
  });

  test('tokens are compared within each epoch, and each is used once there', () => {
    const [first, ...later] = lived.acting!;
    const early = term('carol', 8n, -500, -100);
    expect(after({ acting: [early, first!, ...later] })).toEqual([]);
    expect(after({ acting: [{ ...early, token: 10n }, first!, ...later] })).toEqual([
      expect.stringContaining('tokens do not increase: carol (token 10), then alice (token 9)'),
    ]);
    const again = term('carol', 2n, 3100, 3200);
    expect(after({ acting: [first!, ...later, again], endMs: 3200 })).toHaveLength(1);
    expect(after({ acting: [first!, ...later, { ...again, token: 3n }], endMs: 3200 })).toEqual([]);
    expect(after({ acting: [first!, { ...later[0]!, token: 9n }] })).toEqual([]);
  });

  test.each([
    [
      'acknowledged before, and lost before the cut',
      { cuts: [cut({ before: { logs: { etcd: [], http: [] }, timesWritten: 0, elseBranches: [] } })] },
      'acknowledged append alice/1/1 is lost',
    ],
    [
      'acknowledged after the cut, and lost',
      { logs: { etcd: [], http: [] }, timesWritten: 0 },
      'acknowledged append alice/2/2 is lost',
    ],
    [
      'acknowledged after the cut but present only before it',
      {
        appends: [append(1, 'acknowledged', 1n, [1700, 1701]), lived.appends![1]!],
      },
      'nobody sent it',
    ],
    [
      'sent before the cut that arrives after it',
      { logs: { etcd: [entry(1, 3n), entry(2, 4n, 2n)], http: [] }, timesWritten: 2 },
      'append alice/1/1 of an epoch before stands',
    ],
    [
      'refused before the cut but present there',
      { appends: [append(1, 'refused'), lived.appends![1]!] },
      'refused append alice/1/1 stands all the same',
    ],
    [
      'refused after the cut but present there',
      { appends: [lived.appends![0]!, append(2, 'refused', 2n, [1700, 1701])] },
      'refused append alice/2/2 stands all the same',
    ],
    [
      'applied twice before the cut',
      {
        cuts: [
          cut({
            before: { logs: { etcd: [entry(1, 10n, 1n, 2)], http: [] }, timesWritten: 2, elseBranches: [] },
          }),
        ],
      },
      'applied 2 times',
    ],
    [
      'of an else branch before the cut',
      { cuts: [cut({ before: { ...cut().before, elseBranches: ['else/9/alice/3'] } })] },
      'an else branch wrote',
    ],
    [
      'written without a log entry before the cut',
      { cuts: [cut({ before: { ...cut().before, timesWritten: 3 } })] },
      'was written 3 times',
    ],
    [
      'that the snapshot restored and that is lost afterwards',
      { cuts: [cut({ base: [entry(1, 3n)] })] },
      'came back with the snapshot and is lost',
    ],
  ] satisfies [string, Partial<Evidence>, string][])('an append %s is found', (_, change, said) => {
    expect(after(change)).toContainEqual(expect.stringContaining(said));
  });

  test('an append in flight at the cut is on one side of it, or it counts as lost', () => {
    const underWay = [append(1, 'acknowledged', 1n, [900, 1600]), lived.appends![1]!];
    const nothing = { logs: { etcd: [], http: [] }, timesWritten: 0, elseBranches: [] };
    expect(after({ appends: underWay })).toEqual([]);
    expect(after({ appends: underWay, cuts: [cut({ before: nothing })] })).toEqual([
      expect.stringContaining('acknowledged append alice/1/1 is lost'),
    ]);
    const landed = { etcd: [entry(1, 3n, 1n), entry(2, 4n, 2n)], http: [] };
    expect(
      after({ appends: underWay, logs: landed, timesWritten: 2, cuts: [cut({ before: nothing })] }),
    ).toEqual([]);
  });

  test('two leaders across the cut are allowed until the deadline of the first without its lease', () => {
    const [, bob] = lived.acting!;
    const until = (lastMs: number, change: Partial<HistoryCut> = {}): string[] =>
      after({ acting: [term('alice', 9n, 0, lastMs), bob!], cuts: [cut(change)], endMs: 4000 });
    expect(until(2900)).toEqual([]); // 2 s of a lease, from the last moment with a connection
    const late = [term('alice', 9n, 0, 3100), { ...bob!, lastMs: 4000 }];
    expect(after({ acting: late, endMs: 4000 })).toEqual([expect.stringContaining('S2: two leaders for')]);
    expect(until(2900, { keysBack: [9n] })).toEqual([expect.stringContaining('S2: two leaders for')]);
    expect(overlaps({ ...good, acting: [term('alice', 9n, 0, 2900), bob!], cuts: [cut()] })).toMatchObject([
      { promise: 'S4', isForgotten: true, byEtcd: false },
    ]);
  });

  test('two leaders on one side of the cut are always found', () => {
    const [alice, bob] = lived.acting!;
    const before = term('carol', 10n, 1100, 1200);
    const beside = term('carol', 3n, 2900, 3000);
    expect(after({ acting: [alice!, before, bob!] })).toEqual([expect.stringContaining('S2')]);
    expect(after({ acting: [alice!, bob!, beside] })).toEqual([expect.stringContaining('S2')]);
    // A fault named "wipe" without a cut of history.
    const named = [fault('wipe', 1000, 1500, { isOutage: true, touchesEtcd: true })];
    const acting = [
      { ...alice!, lastMs: 1700 },
      { ...bob!, token: 10n },
    ];
    expect(findings({ acting, faults: named })).toEqual([expect.stringContaining('S2')]);
  });

  test('a leader does not lead again under its old key when the key returns', () => {
    const acting = [term('alice', 2n, 0, 300), term('bob', 9n, 400, 900), term('alice', 2n, 1600, 3000)];
    const change = { ...restored, acting, cuts: [cut({ base: [entry(1, 3n)], keysBack: [2n] })] };
    expect(findings(change)).toEqual([
      expect.stringContaining('S1: alice (token 2) leads again under a key that came back'),
    ]);
    const waited = [term('bob', 1n, 400, 900), acting[2]!];
    expect(findings({ ...change, acting: waited })).toEqual([]);
    // A wipe ended the first key. A second one got the same token, and came back.
    const wipedBefore = [cut({ fromMs: 310, atMs: 320 }), ...change.cuts];
    const again = expect.stringContaining('leads again');
    expect(findings({ ...change, cuts: wipedBefore })).not.toContainEqual(again);
    const restoredTwice = [cut({ fromMs: 310, atMs: 320, keysBack: [2n] }), ...change.cuts];
    expect(findings({ ...change, cuts: restoredTwice })).toContainEqual(again);
  });
});
