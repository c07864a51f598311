import { describe, expect, test } from 'vitest';
import { gaps, tooLong } from '../../faults/lab/checker.ts';
import type { Evidence, FaultRecord } from '../../faults/lab/evidence.ts';
import { type Acting } from '../../faults/lab/history.ts';
import { append, entry, fault, findings, good, term } from './sample-evidence.ts';

describe('the content of the log', () => {
  test.each([
    ['acknowledged and lost', { logs: { etcd: [entry(4, 12n)], http: [] }, timesWritten: 1 }, 'is lost'],
    [
      'applied twice',
      { logs: { etcd: [entry(1, 10n, 1n, 2), entry(4, 12n)], http: [] }, timesWritten: 3 },
      'applied 2 times',
    ],
    [
      'refused but present',
      { logs: { etcd: [entry(1, 10n), entry(3, 11n), entry(4, 12n)], http: [] }, timesWritten: 3 },
      'stands all the same',
    ],
    [
      'reordered',
      { logs: { etcd: [entry(4, 10n), entry(1, 12n)], http: [] } },
      'behind a later one of the same term',
    ],
    [
      'that no process sent',
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

  test('an append with an unknown outcome may be present or absent', () => {
    expect(
      findings({ logs: { etcd: [entry(1, 10n), entry(2, 11n), entry(4, 12n)], http: [] }, timesWritten: 3 }),
    ).toEqual([]);
  });
});

describe('time without a leader', () => {
  const acting = (gapMs: number): Acting[] => [
    term('alice', 1n, 0, 1000),
    term('bob', 2n, 1000 + gapMs, 60_000),
  ];
  const judged = (gapMs: number, faults: FaultRecord[]): number =>
    tooLong(gaps({ ...good, acting: acting(gapMs), faults, endMs: 60_000 }, () => 0)).length;

  test('counts also if no leader returns before the run ends', () => {
    const alone = [term('alice', 1n, 0, 1000)];
    const kill = [fault('kill', 900, 1100)];
    expect(tooLong(gaps({ ...good, acting: alone, faults: kill, endMs: 3700 }, () => 0))).toHaveLength(0);
    expect(tooLong(gaps({ ...good, acting: alone, faults: kill, endMs: 3800 }, () => 0))).toHaveLength(1);
  });

  test('without a fault of etcd is at most one TTL plus 0.75 s', () => {
    expect(judged(2749, [fault('kill', 900, 1100)])).toBe(0);
    expect(judged(2751, [fault('kill', 900, 1100)])).toBe(1);
  });

  test('after an outage may last as long as the outage and the recovery', () => {
    const outage = fault('quorum-lost', 1000, 11_000, { isOutage: true, touchesEtcd: true });
    expect(judged(13_000, [outage])).toBe(0);
    expect(judged(24_000, [outage])).toBe(1);
  });

  test('may be longer by the time in which nobody stood, and by no more', () => {
    const acting = [term('alice', 1n, 0, 1_000), term('bob', 2n, 11_000, 20_000)];
    const judgedWith = (toMs: number): number =>
      tooLong(gaps({ ...good, acting, nobodyStands: [{ fromMs: 500, toMs }], endMs: 20_000 }, () => 0))
        .length;
    expect(judgedWith(11_000)).toBe(0);
    expect(judgedWith(10_999)).toBe(1);
  });

  test('does not include time after one of two concurrent leaders has stopped', () => {
    const all = [
      term('alice', 1n, 0, 10_000),
      term('bob', 2n, 1000, 2000),
      term('carol', 3n, 10_000, 20_000),
    ];
    expect(gaps({ ...good, acting: all, endMs: 20_000 }, () => 0)).toEqual([]);
  });

  test('the next leader may wait for work that stops slowly', () => {
    const stopping = { ...term('alice', 1n, 0, 1_000), workedUntilMs: 3_000 };
    const tooLongUntil = (firstMs: number, change: Partial<typeof stopping> = {}): number =>
      tooLong(
        gaps(
          { ...good, acting: [{ ...stopping, ...change }, term('bob', 2n, firstMs, 9_000)], endMs: 9_000 },
          () => 100,
        ),
      ).length;
    expect(tooLongUntil(3_050)).toBe(0);
    expect(tooLongUntil(3_150)).toBe(1);
    expect(tooLongUntil(3_050, { endedBecause: 'deadline-passed' })).toBe(1);
  });
});
