import { expect, test } from 'vitest';
import { CandidateKey } from '../../src/campaign/candidate-key.ts';
import { PendingDeletes } from '../../src/client/pending-deletes.ts';
import { EtcdError } from '../../src/etcd/etcd-error.ts';

/** An entry whose answer was lost, so that etcd may have the key. */
async function unansweredEntry() {
  const sent: string[] = [];
  const session = {
    leaseId: '17',
    isRefused: false,
    isValid: () => !session.isRefused,
    pendingDeletes: new PendingDeletes(),
    end: () => undefined,
    retryDeletes: () => undefined,
  };
  const transport = {
    unary: (what: string) => {
      sent.push(what);
      return Promise.reject(new EtcdError('unavailable', 'no answer', true));
    },
  };
  const batch = { join: () => undefined };
  const sessions = { acquire: () => Promise.resolve(session) };
  const tools = { transport, keyPrefix: 'p/', sessions, entries: batch, releases: batch };
  const key = new CandidateKey(tools as never);
  await key.take(() => 'v', new AbortController().signal).catch(() => undefined);
  expect(key.mayExist).toBe(true);
  sent.length = 0;
  return { key, session, sent };
}

test('L3: after another election has ended the session as refused, a key that may exist is deleted too', async () => {
  const { key, session, sent } = await unansweredEntry();
  session.isRefused = true;
  await key.giveUp(false);
  expect(sent.length).toBeGreaterThan(0);
});

test('L3: while a delete is under way, the key may exist', async () => {
  const { key } = await unansweredEntry();
  const given = key.giveUp(false).catch(() => undefined);
  expect(key.mayExist).toBe(true);
  await given;
  expect(key.mayExist).toBe(false);
});
