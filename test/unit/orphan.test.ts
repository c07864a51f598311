import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, onTestFinished, test, vi } from 'vitest';
import { OrphanWatch, suspectIn } from '../../src/campaign/orphan-watch.ts';
import { CandidateQueue, type QueuedCandidate } from '../../src/core/candidate-queue.ts';
import { EtcdError } from '../../src/etcd/etcd-error.ts';
import { deleteIfOrphaned, isDetached } from '../../src/etcd/orphan.ts';
import { Deferred } from '../../src/util/deferred.ts';

const NAME = '694d9a1c2b3e4f50';
const LEASE_ID = BigInt(`0x${NAME}`).toString();

const candidate = (name: string, token: bigint, leaseId = '0'): QueuedCandidate => ({
  key: `election/job/${name}`,
  value: 'alice',
  fencingToken: token,
  leaseId,
});
const orphan = candidate(NAME, 5n);
const own = candidate('694d9a1c2b3e4f51', 9n, BigInt('0x694d9a1c2b3e4f51').toString());
const ours = { key: own.key, leaseId: own.leaseId, createRevision: own.fencingToken };

const gone = { TTL: '-1' };
const found = { kvs: [{ lease: '0', create_revision: '5', mod_revision: '7', version: '2' }] };
const limits = { withinMs: 1_000 };
const { signal } = new AbortController();

/** An etcd that answers calls in order, and the names of the calls. */
function etcdWith(...answers: readonly unknown[]) {
  const left = [...answers];
  const asked: string[] = [];
  const requests: unknown[] = [];
  const record = (request: unknown): Promise<never> => {
    requests.push(request);
    return Promise.resolve(undefined as never);
  };
  const client = {
    leaseClient: { leaseTimeToLive: record },
    kv: { range: record, txn: record },
  };
  const unary = (what: string, call: (client: unknown, options: object) => unknown): Promise<unknown> => {
    asked.push(what.split(' ')[0]!);
    void call(client, {});
    const answer = left.shift();
    return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
  };
  return { transport: { unary } as never, asked, requests };
}

test.each([
  ['a key that was taken off its lease', orphan, true],
  ['a key with a lease', candidate(NAME, 5n, LEASE_ID), false],
  ['a key whose name is a word', candidate('deadbeef', 5n), false],
  ['a key whose name is no lease ID', candidate('closed-for-maintenance', 5n), false],
])('%s', (_, one, expected) => {
  expect(isDetached(one)).toBe(expected);
});

test('S3: a key is deleted only if its lease is gone, and it is still the one that we saw', async () => {
  const { transport, asked, requests } = etcdWith(gone, found, { succeeded: true });
  expect(await deleteIfOrphaned(transport, orphan, limits)).toEqual({ type: 'deleted' });
  expect(asked).toEqual(['ask', 'look', 'delete']);
  expect(requests[0]).toEqual({ ID: LEASE_ID });
  const compare = [{ create_revision: '5' }, { mod_revision: '7' }];
  expect(requests[2]).toMatchObject({ compare });

  expect(await deleteIfOrphaned(etcdWith({ TTL: '8' }).transport, orphan, limits)).toEqual({
    type: 'held',
    leftMs: 8_000,
  });
});

test.each([
  ['is gone', { kvs: [] }, 'changed'],
  ['is another key', { kvs: [{ ...found.kvs[0], create_revision: '6' }] }, 'changed'],
  ['has a lease again', { kvs: [{ ...found.kvs[0], lease: '8' }] }, 'changed'],
  ['never had a lease', { kvs: [{ ...found.kvs[0], version: '1' }] }, 'kept'],
])('S3: nothing is deleted if the key %s', async (_, answer, type) => {
  const { transport, asked } = etcdWith(gone, answer);
  expect(await deleteIfOrphaned(transport, orphan, limits)).toEqual({ type });
  expect(asked).toEqual(['ask', 'look']);
});

test.each([
  ['before our read', [gone, { kvs: [] }]],
  ['before our delete', [gone, found, { succeeded: false }]],
])('L3: a candidate does not give way to an orphan that another one deleted %s', async (_, answers) => {
  const onKept = vi.fn<() => void>();
  const stop = new AbortController();
  onTestFinished(() => stop.abort());
  const { transport, asked } = etcdWith(...answers);
  const watch = new OrphanWatch(
    { transport, report: { orphanDeleted: () => undefined }, onKept },
    2_000,
    stop.signal,
  );
  watch.look(orphan);
  await expect.poll(() => asked).toHaveLength(answers.length);
  await nextTurn();
  expect(onKept).not.toHaveBeenCalled();
  expect(watch.isExamining).toBe(true); // until the watch shows the change
  watch.look(undefined);
  expect(watch.isExamining).toBe(false);
});

test('L1: only the first two candidates with a lease look for an orphan, because the first may already lead', () => {
  const other = candidate('694d9a1c2b3e4f52', 7n, '123');
  const third = candidate('694d9a1c2b3e4f53', 8n, '124');
  expect(suspectIn(new CandidateQueue([orphan, own]), ours)).toMatchObject({ key: orphan.key });
  expect(suspectIn(new CandidateQueue([orphan, other, own]), ours)).toMatchObject({ key: orphan.key });
  expect(suspectIn(new CandidateQueue([orphan, other, third, own]), ours)).toBeUndefined();
  const leading = candidate('694d9a1c2b3e4f54', 4n, '122');
  expect(suspectIn(new CandidateQueue([leading, orphan, own]), ours)).toBeUndefined();
  expect(suspectIn(new CandidateQueue([own]), ours)).toBeUndefined();
});

test('L2: it looks again while the lease lives and while etcd does not answer, and ends with the deletion', async () => {
  vi.useFakeTimers();
  try {
    const unavailable = new EtcdError('unavailable', 'no answer', false);
    const { transport, asked } = etcdWith({ TTL: '1' }, unavailable, gone, found, { succeeded: true });
    const orphanDeleted = vi.fn<(one: QueuedCandidate) => void>();
    const watch = new OrphanWatch(
      { transport, report: { orphanDeleted }, onKept: () => undefined },
      2_000,
      signal,
    );
    watch.look(orphan);
    watch.look(orphan); // each change of the queue
    await vi.advanceTimersByTimeAsync(1_700);
    expect(asked).toEqual(['ask']);
    await vi.advanceTimersByTimeAsync(100);
    expect(asked).toEqual(['ask', 'ask']);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(asked).toEqual(['ask', 'ask', 'ask', 'look', 'delete']);
    expect(orphanDeleted).toHaveBeenCalledExactlyOnceWith(orphan);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(asked).toHaveLength(5);
  } finally {
    vi.useRealTimers();
  }
});

test('a deletion is reported even if the watch shows it before its answer arrives', async () => {
  const answer = new Deferred<object>();
  const { transport } = etcdWith(gone, found, answer.promise);
  const orphanDeleted = vi.fn<(one: QueuedCandidate) => void>();
  const watch = new OrphanWatch(
    { transport, report: { orphanDeleted }, onKept: () => undefined },
    2_000,
    signal,
  );
  watch.look(orphan);
  await nextTurn();
  watch.look(undefined);
  answer.resolve({ succeeded: true });
  await nextTurn();
  expect(orphanDeleted).toHaveBeenCalledOnce();
});

test('the end of the wait ends the search, and leaves no timer', async () => {
  vi.useFakeTimers();
  try {
    const { transport, asked } = etcdWith({ TTL: '1' }, gone);
    const watch = new OrphanWatch({ transport, report: {} as never, onKept: () => undefined }, 2_000, signal);
    watch.look(orphan);
    await vi.advanceTimersByTimeAsync(10);
    watch.look(undefined);
    expect(vi.getTimerCount()).toBe(0);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(asked).toEqual(['ask']);
  } finally {
    vi.useRealTimers();
  }
});
