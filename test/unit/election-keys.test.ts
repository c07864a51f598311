import { describe, expect, test } from 'vitest';
import { candidateKey } from '../../src/etcd/candidate-kv.ts';
import { enter } from '../../src/etcd/election-keys.ts';
import { EtcdError } from '../../src/etcd/etcd-error.ts';
import type { EtcdTransport } from '../../src/etcd/transport.ts';

const notDone = (): EtcdError => new EtcdError('unavailable', 'not sent', false);

const OUR_KEY = candidateKey('e/', '7');

/** A transaction that found our own key in its place. */
const stands = {
  succeeded: false,
  header: { revision: '9' },
  responses: [
    {
      response_range: {
        kvs: [{ key: Buffer.from(OUR_KEY), value: Buffer.from(''), create_revision: '5', lease: '7' }],
      },
    },
  ],
};

/** Answers calls in order: with an answer, or an error. */
function transportOf(...outcomes: readonly unknown[]): EtcdTransport {
  const left = [...outcomes];
  const unary = (): Promise<unknown> => {
    const next = left.shift();
    return next instanceof Error ? Promise.reject(next) : Promise.resolve(next);
  };
  return { unary } as unknown as EtcdTransport;
}

const entering = (...outcomes: readonly unknown[]): Promise<unknown> =>
  enter(transportOf(...outcomes), { keyPrefix: 'e/', leaseId: '7', value: '' }, { withinMs: 1_000 });

describe('enter', () => {
  test('a first try that certainly failed leaves nothing behind', async () => {
    await expect(entering(notDone())).rejects.toMatchObject({ mayHaveHappened: false });
  });

  test('an old key that we could not delete still exists, although the delete certainly did not happen', async () => {
    await expect(entering(stands, notDone())).rejects.toMatchObject({ mayHaveHappened: true });
  });

  test('the error says that the old key could not be deleted', async () => {
    const calls: string[] = [];
    const transport = transportOf(stands, notDone());
    const unary = transport.unary.bind(transport);
    transport.unary = (what, ...rest) => {
      calls.push(what);
      return unary(what, ...rest);
    };
    await expect(
      enter(transport, { keyPrefix: 'e/', leaseId: '7', value: '' }, { withinMs: 1_000 }),
    ).rejects.toThrow();
    expect(calls.at(-1)).toBe(`delete our old key ${OUR_KEY}`);
  });

  test('our key may exist if the answer to the last attempt was too large', async () => {
    const tooLarge = new EtcdError('unavailable', 'received message larger than max', true);
    const found = [stands, { succeeded: true }];
    await expect(entering(...found, ...found, ...found, tooLarge)).rejects.toMatchObject({
      message: expect.stringContaining('another writer') as string,
      mayHaveHappened: true,
    });
  });

  test('our deleted key may exist again, although the put certainly failed', async () => {
    await expect(entering(stands, { succeeded: true }, notDone())).rejects.toMatchObject({
      mayHaveHappened: true,
    });
  });
});
