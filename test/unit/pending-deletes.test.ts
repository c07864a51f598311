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
