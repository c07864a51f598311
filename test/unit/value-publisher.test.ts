import { expect, test, vi } from 'vitest';
import { ValuePublisher, type PublisherTools } from '../../src/campaign/value-publisher.ts';
import type { Candidacy } from '../../src/core/campaign-state.ts';
import { privateGuard } from '../../src/loop-guard/loop-guard.ts';
import { Deferred } from '../../src/util/deferred.ts';

const OURS: Candidacy = { key: 'e/1', leaseId: '1', createRevision: 1n };

/** A publisher of the value `first`, and the values that etcd has acknowledged. */
function publisherOn(etcd: { succeeded: boolean }, candidacy: () => Candidacy | undefined = () => OURS) {
  const published: string[] = [];
  const guard = privateGuard();
  const unary = vi.fn(() => Promise.resolve(etcd));
  const tools = { election: 'e', transport: { unary }, guardFor: () => guard } as unknown as PublisherTools;
  const publisher = new ValuePublisher(tools, 'first', {
    signal: new AbortController().signal,
    candidacy,
    shown: () => undefined,
    onPublished: (value) => void published.push(value),
  });
  return { publisher, published, unary };
}

test('a value that campaign() names while term.proclaim() is under way is announced last', async () => {
  const { publisher, published } = publisherOn({ succeeded: true });
  const answered = new Deferred<void>();
  const proclaimed = publisher.proclaiming('older', async () => {
    await answered.promise;
    publisher.published('older');
  });
  publisher.want('newer');
  answered.resolve();
  await proclaimed;
  await new Promise((resolve) => setImmediate(resolve));
  expect(publisher.value).toBe('newer');
  expect(published.at(-1)).toBe('newer');
});

test('a value is not recorded if etcd answers that the key is no longer ours', async () => {
  const { publisher, published, unary } = publisherOn({ succeeded: false });
  publisher.want('second');
  await vi.waitFor(() => expect(unary).toHaveBeenCalled());
  await new Promise((resolve) => setImmediate(resolve));
  expect(published).toEqual([]);
  expect(unary).toHaveBeenCalledTimes(1);
});

test('a value that campaign() names while the entry is under way is announced after the entry', async () => {
  let isEntered = false;
  const { publisher, published } = publisherOn({ succeeded: true }, () => (isEntered ? OURS : undefined));
  publisher.want('second');
  publisher.entered('first');
  isEntered = true;
  publisher.announce();
  await vi.waitFor(() => expect(published).toEqual(['second']));
});
