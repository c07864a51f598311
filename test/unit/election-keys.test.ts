import { describe, expect, test } from 'vitest';
import { candidateKey, enter } from '../../src/etcd/election-keys.ts';
import { EtcdError } from '../../src/etcd/etcd-error.ts';
import type { EtcdTransport } from '../../src/etcd/transport.ts';

const notDone = (): EtcdError => new EtcdError('unavailable', 'not sent', false);

const OUR_KEY = candidateKey('e/', '7');

/** A transaction that found our own key where it stood already. */
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

/** Answers one call after the other: with an answer, or an error. */
function transportOf(...outcomes: readonly unknown[]): EtcdTransport {
  const left = [...outcomes];
  const unary = (): Promise<unknown> => {
    const next = left.shift();
    return next instanceof Error ? Promise.reject(next) : Promise.resolve(next);
  };
  return { unary } as unknown as EtcdTransport;
}

const entering = (...outcomes: readonly unknown[]): Promise<unknown> =>
  enter(transportOf(...outcomes), { electionKeys: 'e/', leaseId: '7', value: '' }, { withinMs: 1_000 });

describe('enter', () => {
  test('a first try that is certainly not done leaves nothing behind', async () => {
    await expect(entering(notDone())).rejects.toMatchObject({ mayHaveHappened: false });
  });

  test('a key of ours that we could not delete may stand, though the delete is certainly not done', async () => {
    await expect(entering(stands, notDone())).rejects.toMatchObject({ mayHaveHappened: true });
  });

  test('a key of ours that was deleted may be back, though the put is certainly not done', async () => {
    await expect(entering(stands, { succeeded: true }, notDone())).rejects.toMatchObject({
      mayHaveHappened: true,
    });
  });
});
