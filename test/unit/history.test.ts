import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { History, type WentBack } from '../../src/etcd/history.ts';
import { clock } from '../../src/util/clock.ts';

const header = (revision: number, raftTerm: number) => ({
  revision: String(revision),
  raft_term: String(raftTerm),
});

function started(revision: number, raftTerm: number): { history: History; told: WentBack[] } {
  const history = new History();
  const told: WentBack[] = [];
  history.onWentBack((wentBack) => told.push(wentBack));
  history.told(header(revision, raftTerm), 'revision-and-term', history.known);
  return { history, told };
}

describe('the signs that history went back', () => {
  test.for([
    ['a read at a lower revision', 'revision', 9, 3, true],
    ['a write at a lower revision', 'revision-and-term', 9, 3, true],
    ['a write in a lower raft term', 'revision-and-term', 11, 2, true],
    ['a read in a lower raft term: its member may have caught up by a snapshot', 'revision', 11, 2, false],
    ['a renewal at a lower revision: its member may lag behind', 'nothing', 9, 2, false],
    ['a read at the same revision', 'revision', 10, 3, false],
  ] as const)('%s: %s', ([, proves, revision, raftTerm, isBack]) => {
    const { history, told } = started(10, 3);
    history.told(header(revision, raftTerm), proves, history.known);
    expect(told).toEqual(isBack ? [{ fromRevision: 10n, toRevision: BigInt(revision) }] : []);
    const kept = { revision: BigInt(Math.max(10, revision)), raftTerm: 3n, era: 0 };
    expect(history.known).toEqual(
      isBack ? { revision: BigInt(revision), raftTerm: BigInt(raftTerm), era: 1 } : kept,
    );
  });

  test('an answer that arrives after a newer one is not a sign', () => {
    const { history, told } = started(10, 3);
    const asked = history.known;
    history.told(header(20, 3), 'revision', history.known);
    history.told(header(11, 3), 'revision', asked);
    expect(told).toEqual([]);
    expect(history.known.revision).toBe(20n);
  });

  test('concurrent calls report it once, and none of them restores the old history', () => {
    const { history, told } = started(10, 3);
    const asked = history.known;
    history.told(header(2, 1), 'revision', asked);
    history.told(header(3, 1), 'revision', asked);
    history.told(header(10, 3), 'nothing', asked);
    expect(told).toEqual([{ fromRevision: 10n, toRevision: 2n }]);
    expect(history.known.revision).toBe(2n);
  });
});

describe('a leap of the revision', () => {
  test.for([
    ['a restore that raises the revision', 1_000_000_000, 1_000, 1],
    ['a restore that took a minute', 1_000_000_000, 60_000, 1],
    ['the writes of a busy etcd in a minute', 3_000_000, 60_000, 0],
    ['answers that arrive at once', 100_000, 0, 0],
  ] as const)('%s', ([, by, afterMs, leaps]) => {
    let nowMs = clock.now();
    vi.spyOn(clock, 'now').mockImplementation(() => nowMs);
    onTestFinished(() => void vi.restoreAllMocks());
    const { history, told } = started(10, 3);
    let count = 0;
    history.onRestored(() => count++);
    nowMs += afterMs;
    history.told(header(10 + by, 3), 'nothing', history.known);
    expect(count).toBe(leaps);
    expect(told).toEqual([]);
    history.told(header(11 + by, 3), 'nothing', history.known);
    expect(count).toBe(leaps);
  });

  test('the first answer is none', () => {
    const history = new History();
    let count = 0;
    history.onRestored(() => count++);
    history.told(header(2_000_000_000, 3), 'nothing', history.known);
    expect(count).toBe(0);
  });
});
