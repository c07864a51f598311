import { expect, test } from 'vitest';
import { PendingDeletes } from '../../src/client/pending-deletes.ts';
import { EtcdError } from '../../src/etcd/etcd-error.ts';
import { clock } from '../../src/util/clock.ts';

const limits = { withinMs: 100 };
const fault = (kind: 'refused' | 'unavailable'): EtcdError => new EtcdError(kind, 'no', false);

test('a flush returns the time until which a late put of the key may arrive', async () => {
  const pending = new PendingDeletes();
  const untilMs = clock.now() + 60_000;
  pending.add('k', () => Promise.resolve(), untilMs);
  expect(await pending.flush('k', limits)).toBe(untilMs);
  expect(await pending.flush('k', limits)).toBe(0);
});

test.for([
  ['refused', ['a', 'b']],
  ['unavailable', ['a']],
] as const)('a delete that is %s: the keys tried in one renewal are %s', async ([kind, expected]) => {
  const pending = new PendingDeletes();
  const tried: string[] = [];
  pending.add('a', () => (tried.push('a'), Promise.reject(fault(kind))), 0);
  pending.add('b', () => (tried.push('b'), Promise.resolve()), 0);
  await pending.flushAll(limits);
  expect(tried).toEqual(expected);
  tried.length = 0;
  await pending.flushAll(limits);
  expect(tried[0]).toBe('a'); // a failed delete stays pending
});

test('a renewal during a slow flush begins no second one; the one after it does', async () => {
  const pending = new PendingDeletes();
  const releases: (() => void)[] = [];
  pending.add('a', () => new Promise((resolve) => void releases.push(resolve)), clock.now() + 60_000);
  const slow = pending.flushAll(limits);
  const during = pending.flushAll(limits);
  expect(releases).toHaveLength(1);
  releases[0]!();
  await Promise.all([slow, during]);
  void pending.flushAll(limits);
  expect(releases).toHaveLength(2);
});
