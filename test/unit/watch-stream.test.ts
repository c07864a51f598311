import { EventEmitter } from 'node:events';
import type { IWatchRequest, IWatchResponse } from 'etcd3';
import { describe, expect, test } from 'vitest';
import type { OpenStream } from '../../src/etcd/transport.ts';
import { WatchStream } from '../../src/etcd/watch-stream.ts';

// IDs of watches: etcd takes ours, and `etcd grpc-proxy` assigns its own.

interface Written {
  readonly create_request?: { readonly watch_id: number };
  readonly cancel_request?: { readonly watch_id: number };
}

function open() {
  const raw = new EventEmitter();
  const written: Written[] = [];
  const heard: { id: number; message: IWatchResponse }[] = [];
  const kinds: boolean[] = [];
  const stream = new WatchStream(
    {
      raw: Object.assign(raw, { write: (one: Written) => written.push(one) }),
      onLost: () => undefined,
    } as unknown as OpenStream<IWatchRequest, IWatchResponse>,
    {
      onMessage: (id, message) => heard.push({ id, message }),
      onLost: () => undefined,
      onProxyKnown: (isProxied) => kinds.push(isProxied),
    },
  );
  const say = (watchId: number, more: Partial<IWatchResponse> = {}): void =>
    void raw.emit('data', { watch_id: String(watchId), created: false, canceled: false, ...more });
  const asked = (): number[] => written.flatMap((one) => one.create_request?.watch_id ?? []);
  const cancelled = (): number[] => written.flatMap((one) => one.cancel_request?.watch_id ?? []);
  return { stream, say, asked, cancelled, heard, kinds, ids: () => heard.map(({ id }) => id) };
}

const request = { key: Buffer.from('k') };

describe('a watch stream to etcd', () => {
  test('the first request goes alone; after its ID arrives, all others go at once', () => {
    const { stream, say, asked, kinds, ids } = open();
    for (const id of [1, 2, 3]) stream.create(id, request);
    expect(asked()).toEqual([1]);
    say(1, { created: true });
    expect(asked()).toEqual([1, 2, 3]);
    say(3, { created: true });
    say(2, { created: true });
    expect(kinds).toEqual([false]);
    expect(ids()).toEqual([1, 3, 2]);
  });

  test('a denied first request releases the next one', () => {
    const { stream, say, asked, kinds } = open();
    for (const id of [1, 2]) stream.create(id, request);
    say(-1, { created: true, canceled: true });
    expect(asked()).toEqual([1, 2]);
    expect(kinds).toEqual([]);
  });
});

describe('a watch stream to a proxy with its own IDs', () => {
  test('one request is in flight at a time, and answers have our IDs', () => {
    const { stream, say, asked, kinds, ids } = open();
    for (const id of [1, 2, 3]) stream.create(id, request);
    say(0, { created: true });
    expect(asked()).toEqual([1, 2]);
    say(0); // an event of the first watch
    say(1, { created: true });
    say(2, { created: true });
    say(1);
    expect(asked()).toEqual([1, 2, 3]);
    expect(kinds).toEqual([true]);
    expect(ids()).toEqual([1, 1, 2, 3, 2]);
  });

  test('a cancellation names its ID; one that is requested earlier is sent when the ID is known', () => {
    const { stream, say, asked, cancelled, ids } = open();
    stream.create(1, request);
    say(0, { created: true });
    stream.create(2, request);
    stream.create(3, request);
    stream.cancel(3); // it was not sent, and never will be
    stream.cancel(2);
    stream.cancel(1);
    expect(cancelled()).toEqual([0]);
    say(1, { created: true });
    expect(cancelled()).toEqual([0, 1]);
    expect(asked()).toEqual([1, 2]);
    say(0, { canceled: true });
    say(0); // of a cancelled watch
    expect(ids().at(-1)).toBe(0);
  });

  test('an answer with an unknown ID belongs to our last request', () => {
    const { stream, say, heard } = open();
    stream.create(1, request);
    say(0, { created: true });
    stream.create(2, request);
    say(1, { canceled: true, compact_revision: '9' });
    expect(heard.at(-1)).toMatchObject({ id: 2, message: { compact_revision: '9' } });
  });
});
