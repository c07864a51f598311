import type { EventEmitter } from 'node:events';
import { onTestFinished, test } from 'vitest';
import { EtcdError } from '../../src/etcd/etcd-error.ts';
import { eventually } from '../support/eventually.ts';
import { created, fakeStream, isProbe, message, rangeOf, watchThrough } from '../support/fake-watch.ts';

const denial = message({
  watch_id: '-1',
  created: true,
  canceled: true,
  cancel_reason: 'rpc error: code = Unauthenticated desc = etcdserver: permission denied',
});

/** A stream on which every watch is created. */
const streamOf = (onWatch: (key: string) => void): EventEmitter =>
  fakeStream((asked, raw) => {
    if (!isProbe(asked)) onWatch(asked.key!.toString());
    setImmediate(() => void raw.emit('data', created(asked)));
  });

test('L4: after a denial, one range that cannot be read does not keep the others without a watch', async () => {
  const streams: EventEmitter[] = [];
  const watched: string[] = [];
  const sharedWatch = watchThrough(() => {
    const number = streams.length + 1;
    const raw = streamOf((key) => watched.push(`${key} on stream ${number}`));
    streams.push(raw);
    return raw;
  }, 10);
  let isDenied = false;
  const target = (name: string) =>
    rangeOf(`${name}/`, () =>
      isDenied && name === 'huge'
        ? Promise.reject(new EtcdError('unavailable', 'read: Received message larger than max', true))
        : Promise.resolve(9n),
    );
  for (const name of ['sound', 'huge']) onTestFinished(sharedWatch.watch(target(name), 3_000, 9n).end);
  await eventually(() => watched.length === 2, { withinMs: 1_000 });
  isDenied = true;
  streams[0]!.emit('data', denial);
  await eventually(() => watched.includes('sound/ on stream 2'), { withinMs: 1_000 });
});
