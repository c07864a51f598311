import { EventEmitter } from 'node:events';
import type { IWatchRequest, IWatchResponse } from 'etcd3';
import { describe, expect, test } from 'vitest';
import type { OpenStream } from '../../src/etcd/transport.ts';
import { WatchStream } from '../../src/etcd/watch-stream.ts';

// IDs of watches, as etcd takes them from us and as `etcd grpc-proxy` gives its own.

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
      onKind: (isProxied) => kinds.push(isProxied),
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
  test('the first request goes alone; when its ID comes back, all others go at once', () => {
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

  test('a first request that is denied lets the next one go', () => {
    const { stream, say, asked, kinds } = open();
    for (const id of [1, 2]) stream.create(id, request);
    say(-1, { created: true, canceled: true });
    expect(asked()).toEqual([1, 2]);
    expect(kinds).toEqual([]);
  });
});

describe('a watch stream to a proxy that counts IDs of its own', () => {
  test('one request is under way at a time, and what comes has our IDs', () => {
    const { stream, say, asked, kinds, ids } = open();
    for (const id of [1, 2, 3]) stream.create(id, request);
    say(0, { created: true });
    expect(asked()).toEqual([1, 2]);
    say(0); // an event of the first
    say(1, { created: true });
    say(2, { created: true });
    say(1);
    expect(asked()).toEqual([1, 2, 3]);
    expect(kinds).toEqual([true]);
    expect(ids()).toEqual([1, 1, 2, 3, 2]);
  });

  test('a cancellation names its ID; one that is asked for meanwhile is cancelled when it is there', () => {
    const { stream, say, asked, cancelled, ids } = open();
    stream.create(1, request);
    say(0, { created: true });
    stream.create(2, request);
    stream.create(3, request);
    stream.cancel(3); // not sent yet: it never is
    stream.cancel(2);
    stream.cancel(1);
    expect(cancelled()).toEqual([0]);
    say(1, { created: true });
    expect(cancelled()).toEqual([0, 1]);
    expect(asked()).toEqual([1, 2]);
    say(0, { canceled: true });
    say(0); // of a watch that is gone
    expect(ids().at(-1)).toBe(0);
  });

  test('what it says of an ID that we do not know is its answer to what we asked last', () => {
    const { stream, say, heard } = open();
    stream.create(1, request);
    say(0, { created: true });
    stream.create(2, request);
    say(1, { canceled: true, compact_revision: '9' });
    expect(heard.at(-1)).toMatchObject({ id: 2, message: { compact_revision: '9' } });
  });
});
