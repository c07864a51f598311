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

test('a renewal during a slow flush begins no second flush; the renewal after the flush does', async () => {
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

/** A release that etcd answers, and the keys that it was called for. */
function searches() {
  const found: string[] = [];
  const of = (key: string) => (): Promise<void> => Promise.resolve(void found.push(key));
  return { found, of };
}

test('L2: after a lost history, keys that were given up are looked for once, but not those of a new candidacy', async () => {
  const pending = new PendingDeletes();
  const { found, of } = searches();
  for (const key of ['a', 'b', 'c']) pending.giveUp(key, of(key));
  await pending.flush('b', limits);
  await pending.flushAll(limits);
  expect(found, 'nothing is lost yet').toEqual([]);
  pending.historyLost();
  await pending.flushAll(limits);
  await pending.flushAll(limits);
  expect(found).toEqual(['a', 'c']);
});

test('L2: a key that is given up after a lost history is looked for too: it may be older than the candidacy', async () => {
  const pending = new PendingDeletes();
  const { found, of } = searches();
  pending.historyLost();
  pending.giveUp('a', of('a'));
  await pending.flushAll(limits);
  expect(found).toEqual(['a']);
});

test('a key that a late put may restore is still looked for until then, also after a lost history', async () => {
  const pending = new PendingDeletes();
  const { found, of } = searches();
  pending.giveUp('a', of('a'));
  pending.add('a', of('a'), clock.now() + 60_000);
  pending.historyLost();
  await pending.flushAll(limits);
  await pending.flushAll(limits);
  expect(found).toEqual(['a', 'a']);
});

test('a search that etcd refuses is not repeated at every renewal', async () => {
  const pending = new PendingDeletes();
  let asked = 0;
  pending.giveUp('a', () => (asked++, Promise.reject(fault('refused'))));
  pending.historyLost();
  await pending.flushAll(limits);
  await pending.flushAll(limits);
  expect(asked).toBe(1);
});

test('the last thousand keys that were given up are remembered', async () => {
  const pending = new PendingDeletes();
  const { found, of } = searches();
  for (let number = 0; number < 1_500; number++) pending.giveUp(String(number), of(String(number)));
  pending.historyLost();
  await pending.flushAll(limits);
  expect(found).toHaveLength(1_000);
  expect(found[0]).toBe('500');
});

test('L5: after a lost history, a failed release does not replace the delete of a key that came back', async () => {
  const deleted: string[] = [];
  const pending = new PendingDeletes();
  pending.historyLost();
  pending.giveUp('k', () => (deleted.push('whichever put created it'), Promise.resolve()));
  pending.add('k', () => (deleted.push('the last one'), Promise.resolve()), 0); // its release got no answer
  await pending.flushAll(limits);
  expect(deleted).toEqual(['whichever put created it']);
});
