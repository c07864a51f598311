import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CandidateQueue, type QueuedCandidate, type QueueEvent } from '../../src/core/candidate-queue.ts';

const KEYS = ['k0', 'k1', 'k2', 'k3', 'k4', 'k5'];

const candidate = (key: string, fencingToken: bigint, value = 'v'): QueuedCandidate => ({
  key,
  value,
  fencingToken,
  leaseId: `lease of ${key}`,
});

/** What etcd does with one key at each revision, in the simplest form. */
class NaiveStore {
  revision = 10n;
  readonly kvs = new Map<string, QueuedCandidate>();

  act(key: string, act: 'put' | 'delete', value: string): QueueEvent | undefined {
    this.revision++;
    const known = this.kvs.get(key);
    if (act === 'delete') return this.kvs.delete(key) ? { type: 'delete', key } : undefined;
    const put = candidate(key, known?.fencingToken ?? this.revision, value);
    this.kvs.set(key, put);
    return { type: 'put', candidate: put };
  }

  queue(): QueuedCandidate[] {
    return [...this.kvs.values()].sort((a, b) => Number(a.fencingToken - b.fencingToken));
  }
}

const acts = fc.array(
  fc.record({
    key: fc.constantFrom(...KEYS),
    act: fc.constantFrom('put' as const, 'put' as const, 'delete' as const),
    value: fc.constantFrom('a', 'b'),
    reread: fc.integer({ min: 0, max: 20 }).map((n) => n === 0),
  }),
  { maxLength: 100 },
);

function expectSame(roster: CandidateQueue, store: NaiveStore): void {
  const queue = store.queue();
  expect(roster.candidates).toEqual(queue);
  expect(roster.size).toBe(queue.length);
  expect(roster.leader).toEqual(queue[0]);
  for (const key of KEYS) expect(roster.get(key)).toEqual(store.kvs.get(key));
  queue.forEach(({ key, fencingToken: createRevision }, place) =>
    expect(roster.olderThan({ key, createRevision })).toBe(place),
  );
  expect(roster.olderThan({ key: 'new', createRevision: store.revision + 1n })).toBe(queue.length);
}

describe('the queue', () => {
  test("S3: equals etcd's content in order of creation, after any history", () => {
    fc.assert(
      fc.property(acts, (history) => {
        const store = new NaiveStore();
        const roster = new CandidateQueue();
        for (const { key, act, value, reread } of history) {
          const event = store.act(key, act, value);
          if (reread) roster.reset([...store.kvs.values()].reverse());
          else if (event !== undefined) roster.apply(event);
          expectSame(roster, store);
        }
      }),
    );
  });

  test('S3: candidates older than ours can leave, but none can arrive', () => {
    fc.assert(
      fc.property(acts, acts, (before, after) => {
        const store = new NaiveStore();
        const roster = new CandidateQueue();
        const run = (history: typeof before, look: () => void): void => {
          for (const { key, act, value } of history) {
            const event = store.act(key, act, value);
            if (event !== undefined) roster.apply(event);
            look();
          }
        };
        run(before, () => undefined);
        roster.apply(store.act('us', 'put', 'v')!);
        const us = { key: 'us', createRevision: roster.get('us')!.fencingToken };
        let older = roster.olderThan(us);
        run(after, () => {
          const now = roster.olderThan(us);
          expect(now).toBeLessThanOrEqual(older);
          older = now;
        });
      }),
    );
  });

  test('a delete of an unknown key changes nothing', () => {
    const roster = new CandidateQueue([candidate('a', 1n)]);
    roster.apply({ type: 'delete', key: 'b' });
    expect(roster.candidates).toEqual([candidate('a', 1n)]);
  });

  test('S4: a key that is deleted and written again is a new candidate at the back', () => {
    const roster = new CandidateQueue([candidate('a', 1n), candidate('b', 2n)]);
    roster.apply({ type: 'put', candidate: candidate('a', 3n) });
    expect(roster.leader?.key).toBe('b');
    expect(roster.get('a')?.fencingToken).toBe(3n);
  });

  test('keys from one foreign transaction share a creation revision, and all are kept', () => {
    const roster = new CandidateQueue([candidate('a', 5n), candidate('b', 5n)]);
    roster.apply({ type: 'put', candidate: candidate('c', 5n) });
    roster.apply({ type: 'put', candidate: candidate('b', 5n, 'new') });
    expect(roster.get('b')?.value).toBe('new');
    roster.apply({ type: 'delete', key: 'a' });
    expect(roster.candidates.map(({ key }) => key).sort()).toEqual(['b', 'c']);
    expect(roster.olderThan({ key: 'b', createRevision: 5n })).toBe(0);
  });

  test('S3: of keys with one creation revision only the first in byte order leads', () => {
    const [a, b, c] = [candidate('a', 5n), candidate('b', 5n), candidate('c', 4n)];
    const orders = [
      [a, b, c],
      [c, b, a],
      [b, c, a],
    ];
    for (const order of orders) {
      const read = new CandidateQueue(order);
      const watched = new CandidateQueue();
      for (const one of order) watched.apply({ type: 'put', candidate: one });
      for (const roster of [read, watched]) {
        expect(roster.candidates).toEqual([c, a, b]);
        roster.apply({ type: 'delete', key: 'c' });
        expect(roster.olderThan({ key: 'a', createRevision: 5n })).toBe(0);
        expect(roster.olderThan({ key: 'b', createRevision: 5n })).toBe(1);
      }
    }
  });

  test('S3: keys are compared by bytes, not by UTF-16 units', () => {
    const roster = new CandidateQueue([candidate('\u{1F600}', 5n), candidate('\uFF5E', 5n)]);
    expect(roster.leader?.key).toBe('\uFF5E');
  });

  test('tokens beyond 2^53 keep their order', () => {
    const big = 2n ** 62n;
    const roster = new CandidateQueue([candidate('b', big + 1n), candidate('a', big)]);
    expect(roster.candidates.map(({ key }) => key)).toEqual(['a', 'b']);
  });

  test('adds and removes 10,000 candidates in less than a second', () => {
    const roster = new CandidateQueue();
    const many = 10_000;
    for (let i = 0; i < many; i++) roster.apply({ type: 'put', candidate: candidate(`k${i}`, BigInt(i)) });
    expect(roster.olderThan({ key: `k${many - 1}`, createRevision: BigInt(many - 1) })).toBe(many - 1);
    for (let i = 0; i < many; i++) roster.apply({ type: 'delete', key: `k${i}` });
    expect(roster.size).toBe(0);
  }, 1_000);
});
