import { describe, expect, test } from 'vitest';
import { History } from '../../src/dev/demo/history.ts';

// The demo says that no two replicas led at once. These tests prove that the demo would notice.

/** Acts every 20 ms, with both ends. */
function reign(history: History, replica: string, fencingToken: bigint, fromMs: number, toMs: number): void {
  for (let atMs = fromMs; atMs <= toMs; atMs += 20) history.record({ replica, fencingToken, atMs });
}

describe('the history of the demo', () => {
  test('consecutive terms do not overlap', () => {
    const history = new History();
    reign(history, 'alice', 2n, 0, 1000);
    reign(history, 'bob', 5n, 1001, 2000);
    reign(history, 'alice', 7n, 2001, 3000);

    expect(history.overlaps()).toEqual([]);
    expect(history.tokensOutOfOrder()).toEqual([]);
    expect(history.acts).toBe(151);
    expect(history.latest).toMatchObject({ replica: 'alice', fencingToken: 7n });
    expect([500, 1000.5, 1500].map((atMs) => history.leadersAt(atMs))).toEqual([['alice'], [], ['bob']]);
  });

  test('one late action is an overlap, even if no two actions share a millisecond', () => {
    const history = new History();
    reign(history, 'bob', 5n, 1010, 2000);
    reign(history, 'alice', 2n, 0, 1000);
    history.record({ replica: 'alice', fencingToken: 2n, atMs: 1555 }); // bob leads already

    expect(history.overlaps()).toMatchObject([[{ replica: 'alice' }, { replica: 'bob' }]]);
  });

  test('two terms within a third one are two overlaps', () => {
    const history = new History();
    reign(history, 'alice', 2n, 0, 5000);
    reign(history, 'bob', 5n, 1000, 2000);
    reign(history, 'carol', 7n, 3000, 4000);

    expect(history.overlaps()).toHaveLength(2);
  });

  test('a repeated token and a smaller later token are found', () => {
    const history = new History();
    reign(history, 'alice', 5n, 0, 1000);
    reign(history, 'bob', 5n, 2000, 3000);
    reign(history, 'carol', 4n, 4000, 5000);

    expect(history.tokensOutOfOrder()).toHaveLength(2);
  });
});
