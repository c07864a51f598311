import { EventEmitter } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { onTestFinished, test } from 'vitest';
import { EtcdError } from '../../src/etcd/etcd-error.ts';
import { History } from '../../src/etcd/history.ts';
import type { EtcdTransport, OpenStream } from '../../src/etcd/transport.ts';
import type { WatchRequest } from '../../src/etcd/watch-stream.ts';
import { SharedWatch } from '../../src/etcd/watch.ts';
import { eventually } from '../support/eventually.ts';

const message = { header: { revision: '9' }, events: [], compact_revision: '0', cancel_reason: '' };
const denial = {
  ...message,
  watch_id: '-1',
  created: true,
  canceled: true,
  cancel_reason: 'rpc error: code = Unauthenticated desc = etcdserver: permission denied',
};

/** A stream on which every watch is created. */
function streamOf(onWatch: (key: string) => void): EventEmitter {
  const raw = new EventEmitter();
  const write = ({ create_request: asked }: { create_request?: WatchRequest & { watch_id: number } }) => {
    if (asked?.key === undefined) return;
    const isProbe = asked.range_end !== undefined && asked.key.equals(asked.range_end);
    if (!isProbe) onWatch(asked.key.toString());
    const refusal = { canceled: true, cancel_reason: 'mvcc: watcher range is empty' };
    const created = { ...message, watch_id: String(asked.watch_id), created: true, canceled: false };
    setImmediate(() => void raw.emit('data', { ...created, ...(isProbe && refusal) }));
  };
  return Object.assign(raw, { write });
}

test('L4: after a denial, one range that cannot be read does not keep the others without a watch', async () => {
  const streams: EventEmitter[] = [];
  const watched: string[] = [];
  const end = (): void => undefined;
  const stream = (): Promise<OpenStream<never, never>> => {
    const number = streams.length + 1;
    const raw = streamOf((key) => watched.push(`${key} on stream ${number}`));
    streams.push(raw);
    return Promise.resolve({ raw, onLost: end, close: end, fail: end, leave: end } as never);
  };
  const transport = { history: new History(), provenAtMs: Number.POSITIVE_INFINITY, stream };
  const sharedWatch = new SharedWatch({
    transport: transport as unknown as EtcdTransport,
    backoff: { pass: () => sleep(10), healthyFor: end, wake: end },
    onLost: end,
    onHealed: end,
    onUnconfirmed: end,
    onProxied: end,
  });
  let isDenied = false;
  const target = (name: string) => ({
    keyPrefix: `${name}/`,
    keys: () => undefined,
    reload: () =>
      isDenied && name === 'huge'
        ? Promise.reject(new EtcdError('unavailable', 'read: Received message larger than max', true))
        : Promise.resolve(9n),
    onEvents: end,
    onConfirmed: end,
    onRefused: end,
  });
  for (const name of ['sound', 'huge']) onTestFinished(sharedWatch.watch(target(name), 3_000, 9n).end);
  await eventually(() => watched.length === 2, { withinMs: 1_000 });
  isDenied = true;
  streams[0]!.emit('data', denial);
  await eventually(() => watched.includes('sound/ on stream 2'), { withinMs: 1_000 });
});
