import { describe, expect, test } from 'vitest';
import { Batch, type SendAll } from '../../src/client/batch.ts';
import { MOST_TOGETHER } from '../../src/core/split.ts';
import type { BatchOutcome } from '../../src/etcd/election-keys.ts';
import { EtcdError } from '../../src/etcd/etcd-error.ts';
import type { CallLimits } from '../../src/etcd/transport.ts';
import { Deferred } from '../../src/util/deferred.ts';

interface Sent {
  readonly requests: readonly string[];
  readonly limits: CallLimits;
  readonly outcome: Deferred<readonly string[] | undefined>;
}

/** A batch whose transactions the test answers. */
function batch(): { sent: Sent[]; batch: Batch<string, string> } {
  const sent: Sent[] = [];
  const sendAll: SendAll<string, string> = (requests, limits) => {
    const outcome = new Deferred<readonly string[] | undefined>();
    sent.push({ requests, limits, outcome });
    return outcome.promise;
  };
  return { sent, batch: new Batch('enter', sendAll) };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const join = (
  to: Batch<string, string>,
  request: string,
  limits: Partial<CallLimits> = {},
): Promise<BatchOutcome<string>> | undefined =>
  to.join({
    request,
    keyPrefix: `${request}/`,
    sentBytes: 1,
    answerBytes: 1,
    withinMs: 1_000,
    limits: { withinMs: 1_000, ...limits },
  });

describe('requests of one turn', () => {
  test('the first is sent alone at once, and later ones share a transaction', async () => {
    const { sent, batch: all } = batch();
    expect(join(all, 'a')).toBeUndefined();
    const others = [join(all, 'b')!, join(all, 'c')!];
    await turn();
    expect(sent.map(({ requests }) => requests)).toEqual([['b', 'c']]);
    // It waits behind no other call. Who leaves during such a wait would get a key that nobody deletes.
    expect(sent[0]!.limits.lane).toBe('shared');
    sent[0]!.outcome.resolve(['B', 'C']);
    expect(await Promise.all(others)).toEqual([{ done: 'B' }, { done: 'C' }]);
    expect(join(all, 'd'), 'the first of another turn').toBeUndefined();
  });

  test('a single later request is sent alone too', async () => {
    const { sent, batch: all } = batch();
    void join(all, 'a');
    expect(await join(all, 'b')).toBe('alone');
    expect(sent).toEqual([]);
  });

  test.each([
    ['a comparison that failed', undefined],
    ['a refusal', new EtcdError('refused', 'no permission', false)],
    ['an expired lease', new EtcdError('lease-gone', 'gone', false)],
    [
      'a request that is too large',
      new EtcdError('refused', 'Attempted to send message larger than max', false),
    ],
  ])('%s does not affect the others: each is sent alone', async (_, outcome) => {
    const { sent, batch: all } = batch();
    void join(all, 'a');
    const others = [join(all, 'b')!, join(all, 'c')!];
    await turn();
    if (outcome === undefined) sent[0]!.outcome.resolve(undefined);
    else sent[0]!.outcome.reject(outcome);
    expect(await Promise.all(others)).toEqual(['alone', 'alone']);
  });

  test.each([true, false])(
    'each request learns whether it may have happened: %s',
    async (mayHaveHappened) => {
      const { sent, batch: all } = batch();
      void join(all, 'a');
      const others = [join(all, 'b')!, join(all, 'c')!];
      await turn();
      sent[0]!.outcome.reject(new EtcdError('unavailable', 'no answer', mayHaveHappened));
      for (const other of others) await expect(other).rejects.toMatchObject({ mayHaveHappened });
    },
  );

  test('an aborted request does not affect the others; the transaction ends when all its requests are aborted', async () => {
    const { sent, batch: all } = batch();
    const [b, c] = [new AbortController(), new AbortController()];
    void join(all, 'a');
    const first = join(all, 'b', { signal: b.signal });
    const second = join(all, 'c', { signal: c.signal });
    await turn();
    b.abort();
    await expect(first).rejects.toMatchObject({ kind: 'aborted', mayHaveHappened: true });
    expect(sent[0]!.limits.signal?.aborted).toBe(false);
    c.abort();
    await expect(second).rejects.toMatchObject({ kind: 'aborted', mayHaveHappened: true });
    expect(sent[0]!.limits.signal?.aborted).toBe(true);
  });

  test('a request that is aborted before it is sent is not sent', async () => {
    const { sent, batch: all } = batch();
    const b = new AbortController();
    void join(all, 'a');
    const first = join(all, 'b', { signal: b.signal });
    void join(all, 'c');
    void join(all, 'd');
    b.abort();
    await expect(first).rejects.toMatchObject({ kind: 'aborted', mayHaveHappened: false });
    await turn();
    expect(sent.map(({ requests }) => requests)).toEqual([['c', 'd']]);
    sent[0]!.outcome.resolve(['C', 'D']);
  });

  test('four transactions are in flight at once; a request that is aborted while it waits is never sent', async () => {
    const { sent, batch: all } = batch();
    const stop = new AbortController();
    const inGroup = (group: number): boolean => group === 5;
    void join(all, 'first');
    const joined = Array.from({ length: 6 * MOST_TOGETHER }, (_, number) =>
      join(
        all,
        `r${number}`,
        inGroup(Math.floor(number / MOST_TOGETHER)) ? { signal: stop.signal } : {},
      )!.catch((error: unknown) => error),
    );
    await turn();
    expect(sent.map(({ requests }) => requests.length)).toEqual(Array<number>(4).fill(MOST_TOGETHER));
    stop.abort();
    expect(await joined.at(-1)).toMatchObject({ kind: 'aborted', mayHaveHappened: false });
    for (let answered = 0; answered < 5; answered++) {
      sent[answered]!.outcome.resolve(sent[answered]!.requests);
      await turn();
    }
    expect(sent).toHaveLength(5);
    expect(await joined[0]).toEqual({ done: 'r0' });
  });
});
