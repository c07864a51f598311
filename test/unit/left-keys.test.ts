import { expect, onTestFinished, test } from 'vitest';
import { LeftKeys } from '../../src/client/left-keys.ts';
import { EtcdError } from '../../src/etcd/etcd-error.ts';
import type { EtcdTransport } from '../../src/etcd/transport.ts';
import { Deferred } from '../../src/util/deferred.ts';

const fault = (kind: 'refused' | 'unavailable'): EtcdError => new EtcdError(kind, 'no', false);

const candidacy = (key: string) => ({ key, leaseId: '7', createRevision: 9n });

/** Keys of an etcd that answers calls in order, and the keys that were tried. */
function leftKeys(...answers: readonly (Promise<unknown> | EtcdError | object)[]) {
  const tried: string[] = [];
  const left = [...answers];
  const transport = {
    unary: async (what: string) => {
      tried.push(what.at(-1)!);
      const answer = await left.shift();
      if (answer instanceof EtcdError) throw answer;
      return answer ?? {};
    },
  } as unknown as EtcdTransport;
  const stop = new AbortController();
  onTestFinished(() => stop.abort());
  return { keys: new LeftKeys(transport, stop.signal), tried, stop };
}

test('L2: a delete that gets no answer is repeated, and the others wait for it', async () => {
  const { keys, tried } = leftKeys(fault('unavailable'));
  keys.delete(candidacy('a'));
  keys.delete(candidacy('b'));
  await expect.poll(() => tried).toEqual(['a', 'a', 'b']);
});

test('a refused delete is not repeated, and does not stop the others', async () => {
  const { keys, tried } = leftKeys(fault('refused'));
  keys.delete(candidacy('a'));
  keys.delete(candidacy('b'));
  await expect.poll(() => tried).toEqual(['a', 'b']);
  keys.delete(candidacy('c'));
  await expect.poll(() => tried).toEqual(['a', 'b', 'c']);
});

test('G1: no try begins after the last election has left', async () => {
  const answer = new Deferred<EtcdError>();
  const { keys, tried, stop } = leftKeys(answer.promise);
  keys.delete(candidacy('a'));
  await expect.poll(() => tried).toEqual(['a']);
  keys.delete(candidacy('b'));
  stop.abort();
  answer.resolve(fault('unavailable'));
  await new Promise(setImmediate);
  keys.delete(candidacy('c'));
  await new Promise(setImmediate);
  expect(tried).toEqual(['a']);
});
