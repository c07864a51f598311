import { expect, test } from 'vitest';
import { CandidateKey } from '../../src/campaign/candidate-key.ts';
import { PendingDeletes } from '../../src/client/pending-deletes.ts';
import { candidateKey } from '../../src/etcd/candidate-kv.ts';
import { EtcdError } from '../../src/etcd/etcd-error.ts';
import { clock } from '../../src/util/clock.ts';

const OUR_KEY = candidateKey('e/', '7');
const TTL_MS = 60_000;

const entered = {
  succeeded: true,
  header: { revision: '9' },
  responses: [
    {},
    {
      response_range: {
        count: '1',
        kvs: [
          {
            key: Buffer.from(OUR_KEY),
            value: Buffer.from('alice'),
            create_revision: '9',
            mod_revision: '9',
            lease: '7',
          },
        ],
      },
    },
  ],
};

/** A key of its own etcd, which answers calls in order, and the names of the calls. */
function keyOf(...outcomes: readonly unknown[]) {
  const left = [...outcomes];
  const leaseIds = ['7'];
  const asked: string[] = [];
  const unary = (what: string): Promise<unknown> => {
    asked.push(what);
    const next = left.shift();
    return next instanceof Error ? Promise.reject(next) : Promise.resolve(next);
  };
  const pendingDeletes = new PendingDeletes();
  const retryDeletes = (): Promise<void> => Promise.resolve();
  const sessions = new Map<string, object>();
  const acquire = (): Promise<object> => {
    const leaseId = leaseIds.at(-1)!;
    if (!sessions.has(leaseId))
      sessions.set(leaseId, { leaseId, ttlMs: TTL_MS, isValid: () => true, pendingDeletes, retryDeletes });
    return Promise.resolve(sessions.get(leaseId)!);
  };
  const alone = { join: () => undefined };
  const tools = {
    transport: { unary },
    keyPrefix: 'e/',
    sessions: { acquire },
    entries: alone,
    releases: alone,
  };
  return { key: new CandidateKey(tools as never), pendingDeletes, asked, leaseIds };
}

const { signal } = new AbortController();

test('L3: after an unanswered entry, a key that etcd reported as deleted is still looked for', async () => {
  const unanswered = new EtcdError('unavailable', 'no answer', true);
  const { key, pendingDeletes, asked } = keyOf(unanswered, entered, { count: '0', kvs: [] });
  await expect(key.take(() => 'alice', signal)).rejects.toBe(unanswered);
  await key.take(() => 'alice', signal);

  expect(await key.giveUp(true), 'nothing to delete now').toBe(false);
  asked.length = 0;
  await pendingDeletes.flushAll({ withinMs: 1_000 }).catch(() => undefined);
  expect(asked, 'the first entry may still arrive').toHaveLength(1);
});

test('L3: a late put of an earlier candidacy is still looked for if the next entry was never sent', async () => {
  const unsent = new EtcdError('unavailable', 'no connection', false);
  const { key, pendingDeletes, asked } = keyOf(unsent);
  let looked = 0;
  pendingDeletes.add(OUR_KEY, () => Promise.resolve(void looked++), clock.now() + TTL_MS);
  await expect(key.take(() => 'alice', signal)).rejects.toBe(unsent);
  expect(asked, 'the key was deleted, and the entry failed').toHaveLength(1);

  expect(await key.giveUp(false), 'nothing to delete now').toBe(false);
  asked.length = 0;
  await pendingDeletes.flushAll({ withinMs: 1_000 }).catch(() => undefined);
  expect(looked + asked.length, 'one look before the entry, and one after').toBe(2);
});

test('L3: a late put is looked for as long as the kernel of a closed connection may send it again', async () => {
  const unanswered = new EtcdError('unavailable', 'no answer', true);
  const absent = { count: '0', kvs: [] };
  const { key, pendingDeletes } = keyOf(unanswered, absent, absent);
  await expect(key.take(() => 'alice', signal)).rejects.toBe(unanswered);
  await key.giveUp(false);
  const untilMs = await pendingDeletes.flush(OUR_KEY, { withinMs: 1_000 });
  expect(untilMs - clock.now()).toBeGreaterThan(100_000);
});

test('after an answered entry, a deleted key is not looked for', async () => {
  const { key, pendingDeletes, asked } = keyOf(entered);
  await key.take(() => 'alice', signal);
  expect(await key.giveUp(true)).toBe(false);
  asked.length = 0;
  await pendingDeletes.flushAll({ withinMs: 1_000 });
  expect(asked).toEqual([]);
});

test('giving up our candidacy deletes its key', async () => {
  const { key, asked } = keyOf(entered, { succeeded: true });
  await key.take(() => 'alice', signal);
  asked.length = 0;
  expect(await key.giveUp(false)).toBe(true);
  expect(asked).toHaveLength(1);
});

test('an entry reports the value that etcd has, even if a newer value is wanted by then', async () => {
  const wanted = ['alice', 'bob', 'carol'];
  const { key, asked } = keyOf(entered, { succeeded: true });
  const entry = await key.take(() => wanted.shift()!, signal);
  expect(asked).toHaveLength(2);
  expect(entry.value).toBe('bob');
});
