import { describe, expect, test } from 'vitest';
import { gaps, overlaps, tooLong, unsafe } from '../../faults/lab/checker.ts';
import type { Evidence, FaultRecord, HistoryCut } from '../../faults/lab/evidence.ts';
import { readHistory, type Acting, type Append } from '../../faults/lab/history.ts';
import { seeded } from '../../faults/lab/seeded.ts';

// A checker that cannot fail proves nothing: every kind of wrong history, made by hand, and what it says of it.

const term = (process: string, token: bigint, firstMs: number, lastMs: number): Acting => ({
  process,
  token,
  electedMs: firstMs,
  firstMs,
  lastMs,
  stamps: 2,
  longestPauseMs: 4,
  endedBecause: 'resigned',
  workedUntilMs: undefined,
});

const append = (
  counter: number,
  outcome: Append['outcome'],
  token = 1n,
  [sentMs, answeredMs] = [0, 1],
): Append => ({
  process: 'alice',
  token,
  counter,
  to: 'etcd',
  outcome,
  sentMs,
  answeredMs,
});

const entry = (counter: number, order: bigint, token = 1n, times = 1) => ({
  process: 'alice',
  token,
  counter,
  order,
  times,
});

const fault = (kind: string, fromMs: number, toMs: number, more: Partial<FaultRecord> = {}): FaultRecord => ({
  kind,
  what: kind,
  touchesEtcd: false,
  isOutage: false,
  fromMs,
  toMs,
  ...more,
});

const good: Evidence = {
  acting: [term('alice', 1n, 0, 1000), term('bob', 2n, 1500, 3000)],
  appends: [append(1, 'acknowledged'), append(2, 'unknown'), append(3, 'refused'), append(4, 'acknowledged')],
  logs: { etcd: [entry(1, 10n), entry(4, 12n)], http: [] },
  timesWritten: 2,
  elseBranches: [],
  cuts: [],
  kills: [],
  faults: [],
  endMs: 3000,
  grantedTtlMs: 2000,
  hasTokens: true,
};

const findings = (change: Partial<Evidence>): string[] =>
  unsafe({ ...good, ...change }).map(({ promise, what }) => `${promise}: ${what}`);

test('a good history has no findings', () => {
  expect(findings({})).toEqual([]);
});

describe('who acts when', () => {
  test('two terms that share one instant are an overlap of its length', () => {
    const acting = [term('alice', 1n, 0, 1000), term('bob', 2n, 990, 3000)];
    expect(overlaps({ ...good, acting, faults: [] })).toMatchObject([{ promise: 'S2', ms: 10 }]);
    expect(findings({ acting })).toHaveLength(1);
  });

  test('a leader that pauses and acts again overlaps with all who led in between', () => {
    const acting = [term('alice', 1n, 0, 5000), term('bob', 2n, 1000, 2000), term('carol', 3n, 3000, 4000)];
    expect(overlaps({ ...good, acting, faults: [] }).map(({ ms }) => ms)).toEqual([1000, 1000]);
  });

  test('two terms of one process may not overlap either', () => {
    expect(
      overlaps({ ...good, acting: [term('alice', 1n, 0, 1000), term('alice', 2n, 1000, 2000)], faults: [] }),
    ).toHaveLength(1);
  });

  test('where an operator took the key, an overlap counts under S4, and only beyond one TTL', () => {
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

  test('the same where etcd took it by itself, on its return from a freeze', () => {
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

  test('whoever was told of his own key last may act in between, but not twice under one token', () => {
    const acting = [term('bob', 3n, 0, 1000), { ...term('alice', 2n, 1500, 1501), endedBecause: 'evicted' }];
    const thawed = fault('freeze-etcd-leader', 500, 1490, { touchesEtcd: true });
    expect(findings({ acting, faults: [thawed] })).toEqual([]);
    expect(findings({ acting })).toEqual([expect.stringContaining('tokens do not increase')]);
    const twice = [acting[0]!, { ...acting[1]!, token: 3n }];
    expect(findings({ acting: twice, faults: [thawed] })).toHaveLength(1);
  });

  test('and beside the next leader too: it counts under S4, unless his is the larger token', () => {
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

  test('tokens that do not increase are found, a token used twice too', () => {
    expect(findings({ acting: [term('alice', 2n, 0, 1000), term('bob', 1n, 1500, 3000)] })).toEqual([
      expect.stringContaining('S1: tokens do not increase'),
    ]);
    expect(findings({ acting: [term('alice', 2n, 0, 1000), term('alice', 2n, 1500, 3000)] })).toHaveLength(1);
  });

  test('a term that ends without a reason is found, unless its process was killed or the run was over', () => {
    const silent = { ...term('alice', 1n, 0, 1000), endedBecause: undefined };
    const acting = [silent, term('bob', 2n, 1500, 3000)];
    expect(findings({ acting })).toEqual([expect.stringContaining('S4: alice (token 1) stopped without')]);
    expect(findings({ acting, kills: [{ process: 'alice', atMs: 1001 }] })).toEqual([]);
    expect(findings({ acting, kills: [{ process: 'alice', atMs: 500 }] })).toHaveLength(1);
    expect(findings({ acting: [silent], endMs: 1000 })).toEqual([]);
  });

  test('a seat given up before the work stopped is found, unless a fault took it', () => {
    const acting = [{ ...term('alice', 1n, 0, 1000), workedUntilMs: 1300 }, term('bob', 2n, 1010, 3000)];
    expect(findings({ acting })).toEqual([expect.stringContaining('S5: bob (token 2) led 290.0 ms before')]);
    expect(findings({ acting, faults: [fault('cut', 900, 1100)] })).toEqual([]);
  });
});

describe('what stands in the log', () => {
  test.each([
    ['acknowledged and lost', { logs: { etcd: [entry(4, 12n)], http: [] }, timesWritten: 1 }, 'is lost'],
    [
      'applied twice',
      { logs: { etcd: [entry(1, 10n, 1n, 2), entry(4, 12n)], http: [] }, timesWritten: 3 },
      'applied 2 times',
    ],
    [
      'refused, yet standing',
      { logs: { etcd: [entry(1, 10n), entry(3, 11n), entry(4, 12n)], http: [] }, timesWritten: 3 },
      'stands all the same',
    ],
    [
      'reordered',
      { logs: { etcd: [entry(4, 10n), entry(1, 12n)], http: [] } },
      'behind a later one of the same term',
    ],
    [
      'sent by nobody',
      { logs: { etcd: [entry(1, 10n), entry(4, 12n), entry(9, 13n)], http: [] }, timesWritten: 3 },
      'nobody sent it',
    ],
    [
      'settled and lost',
      { appends: [append(1, 'acknowledged'), append(2, 'settled'), append(4, 'acknowledged')] },
      'settled append alice/1/2 is lost',
    ],
    ['of an else branch', { elseBranches: ['else/2/alice/4'] }, 'an else branch wrote'],
    ['written without being logged', { timesWritten: 3 }, 'was written 3 times'],
    [
      'of an older token behind a newer one',
      {
        appends: [append(1, 'acknowledged', 2n), append(2, 'unknown', 1n)],
        logs: { etcd: [entry(1, 10n, 2n), entry(2, 11n, 1n)], http: [] },
      },
      'stands behind one of token 2',
    ],
  ] satisfies [string, Partial<Evidence>, string][])('an append %s is found', (_, change, said) => {
    expect(findings(change)).toEqual([expect.stringContaining(said)]);
  });

  test('an append of unknown outcome may stand or not', () => {
    expect(
      findings({ logs: { etcd: [entry(1, 10n), entry(2, 11n), entry(4, 12n)], http: [] }, timesWritten: 3 }),
    ).toEqual([]);
  });
});

// What a wipe or a restore excuses, and nothing beyond it.
describe('etcd loses its history', () => {
  const cut = (change: Partial<HistoryCut> = {}): HistoryCut => ({
    fromMs: 1000,
    atMs: 1500,
    before: { logs: { etcd: [entry(1, 10n)], http: [] }, timesWritten: 1, elseBranches: [] },
    base: [],
    keysBack: [],
    ...change,
  });
  /** Until 1500 ms the old history, with one append; then the new one, with another. */
  const lived: Partial<Evidence> = {
    acting: [term('alice', 9n, 0, 1200), term('bob', 2n, 1600, 3000)],
    appends: [append(1, 'acknowledged'), append(2, 'acknowledged', 2n, [1700, 1701])],
    logs: { etcd: [entry(2, 4n, 2n)], http: [] },
    timesWritten: 1,
    cuts: [cut()],
  };
  /** The same, where the snapshot has the first append. */
  const restored: Partial<Evidence> = {
    ...lived,
    logs: { etcd: [entry(1, 3n), entry(2, 4n, 2n)], http: [] },
    timesWritten: 2,
    cuts: [cut({ base: [entry(1, 3n)] })],
  };
  const after = (change: Partial<Evidence>): string[] => findings({ ...lived, ...change });

  test('the log of before is not lost, and tokens begin anew', () => {
    expect(after({})).toEqual([]);
    expect(findings(restored)).toEqual([]);
    expect(after({ cuts: [] })).not.toEqual([]);
  });

  test('tokens are compared within each epoch, and none is used twice there', () => {
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
      'acknowledged after it, standing only before it',
      {
        appends: [append(1, 'acknowledged', 1n, [1700, 1701]), lived.appends![1]!],
      },
      'nobody sent it',
    ],
    [
      'of before the cut that lands after it',
      { logs: { etcd: [entry(1, 3n), entry(2, 4n, 2n)], http: [] }, timesWritten: 2 },
      'append alice/1/1 of an epoch before stands',
    ],
    [
      'refused before the cut that stood there',
      { appends: [append(1, 'refused'), lived.appends![1]!] },
      'refused append alice/1/1 stands all the same',
    ],
    [
      'refused after the cut that stands there',
      { appends: [lived.appends![0]!, append(2, 'refused', 2n, [1700, 1701])] },
      'refused append alice/2/2 stands all the same',
    ],
    [
      'doubled before the cut',
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
      'written unlogged before the cut',
      { cuts: [cut({ before: { ...cut().before, timesWritten: 3 } })] },
      'was written 3 times',
    ],
    [
      'that came back with the snapshot and is lost then',
      { cuts: [cut({ base: [entry(1, 3n)] })] },
      'came back with the snapshot and is lost',
    ],
  ] satisfies [string, Partial<Evidence>, string][])('an append %s is found', (_, change, said) => {
    expect(after(change)).toContainEqual(expect.stringContaining(said));
  });

  test('an append under way at the cut stands on one side of it, or it is lost', () => {
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

  test('two leaders across the cut: until the deadline of the first, and only if its lease is gone', () => {
    const [, bob] = lived.acting!;
    const until = (lastMs: number, change: Partial<HistoryCut> = {}): string[] =>
      after({ acting: [term('alice', 9n, 0, lastMs), bob!], cuts: [cut(change)], endMs: 4000 });
    expect(until(2900)).toEqual([]); // 2 s of a lease, from when nothing got through
    const late = [term('alice', 9n, 0, 3100), { ...bob!, lastMs: 4000 }];
    expect(after({ acting: late, endMs: 4000 })).toEqual([expect.stringContaining('S2: two leaders for')]);
    expect(until(2900, { keysBack: [9n] })).toEqual([expect.stringContaining('S2: two leaders for')]);
    expect(overlaps({ ...good, acting: [term('alice', 9n, 0, 2900), bob!], cuts: [cut()] })).toMatchObject([
      { promise: 'S4', isForgotten: true, byEtcd: false },
    ]);
  });

  test('two leaders on one side of the cut are never excused by it', () => {
    const [alice, bob] = lived.acting!;
    const before = term('carol', 10n, 1100, 1200);
    const beside = term('carol', 3n, 2900, 3000);
    expect(after({ acting: [alice!, before, bob!] })).toEqual([expect.stringContaining('S2')]);
    expect(after({ acting: [alice!, bob!, beside] })).toEqual([expect.stringContaining('S2')]);
    // A wipe that never was: nothing but a fault of that name.
    const named = [fault('wipe', 1000, 1500, { isOutage: true, touchesEtcd: true })];
    const acting = [
      { ...alice!, lastMs: 1700 },
      { ...bob!, token: 10n },
    ];
    expect(findings({ acting, faults: named })).toEqual([expect.stringContaining('S2')]);
  });

  test('who led under a key before does not lead under it again when it comes back', () => {
    const acting = [term('alice', 2n, 0, 300), term('bob', 9n, 400, 900), term('alice', 2n, 1600, 3000)];
    const change = { ...restored, acting, cuts: [cut({ base: [entry(1, 3n)], keysBack: [2n] })] };
    expect(findings(change)).toEqual([
      expect.stringContaining('S1: alice (token 2) leads again under a key that came back'),
    ]);
    const waited = [term('bob', 1n, 400, 900), acting[2]!];
    expect(findings({ ...change, acting: waited })).toEqual([]);
  });
});

describe('how long nobody leads', () => {
  const acting = (gapMs: number): Acting[] => [
    term('alice', 1n, 0, 1000),
    term('bob', 2n, 1000 + gapMs, 60_000),
  ];
  const judged = (gapMs: number, faults: FaultRecord[]): number =>
    tooLong(gaps({ ...good, acting: acting(gapMs), faults, endMs: 60_000 }, 0)).length;

  test('nobody comes back before the run ends: that counts too', () => {
    const alone = [term('alice', 1n, 0, 1000)];
    const kill = [fault('kill', 900, 1100)];
    expect(tooLong(gaps({ ...good, acting: alone, faults: kill, endMs: 3700 }, 0))).toHaveLength(0);
    expect(tooLong(gaps({ ...good, acting: alone, faults: kill, endMs: 3800 }, 0))).toHaveLength(1);
  });

  test('without a fault of etcd: one TTL and 0.75 s', () => {
    expect(judged(2749, [fault('kill', 900, 1100)])).toBe(0);
    expect(judged(2751, [fault('kill', 900, 1100)])).toBe(1);
  });

  test('after an outage: as long as it lasted, and what comes after it', () => {
    const outage = fault('quorum-lost', 1000, 11_000, { isOutage: true, touchesEtcd: true });
    expect(judged(13_000, [outage])).toBe(0);
    expect(judged(24_000, [outage])).toBe(1);
  });

  test('time in which one of several leads is no gap', () => {
    const all = [
      term('alice', 1n, 0, 10_000),
      term('bob', 2n, 1000, 2000),
      term('carol', 3n, 10_000, 20_000),
    ];
    expect(gaps({ ...good, acting: all, endMs: 20_000 }, 0)).toEqual([]);
  });
});

describe('the record of a process', () => {
  test('is read back; a line cut short by SIGKILL is left out', () => {
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

  test('a token that comes a second time, after history was cut, is another term', () => {
    const lines = ['T 2 1000000', 'S 2 2000000', 'E 2 lost', 'T 2 5000000', 'S 2 6000000', ''];
    const { acting } = readHistory('alice', lines.join('\n'));
    expect(acting).toMatchObject([
      { token: 2n, electedMs: 1, firstMs: 2, lastMs: 2, endedBecause: 'lost' },
      { token: 2n, electedMs: 5, firstMs: 6, lastMs: 6, endedBecause: undefined },
    ]);
  });

  test('a seed gives the same numbers each time', () => {
    const draw = (): number[] => {
      const random = seeded(42);
      return [random.next(), random.between(1, 6), random.between(1, 6)];
    };
    expect(draw()).toEqual(draw());
  });
});
