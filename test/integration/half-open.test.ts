import type { Etcd3, IWatchRequest, IWatchResponse } from 'etcd3';
import { startProxy } from 'etcd-election/dev';
import { expect } from 'vitest';
import { sharedClientOf } from '../../src/client/shared-client.ts';
import type { OpenStream } from '../../src/etcd/transport.ts';
import { SOON_MS, test } from '../support/world.ts';

type WatchStream = OpenStream<IWatchRequest, IWatchResponse>;

const watch = async (client: Etcd3): Promise<WatchStream> => {
  const stream = await sharedClientOf(client).transport.stream<IWatchRequest, IWatchResponse>(
    'watch',
    (host, options) => host.watchClient.watch(options),
    { withinMs: SOON_MS },
  );
  stream.raw.on('error', () => undefined);
  return stream;
};

const read = (client: Etcd3): Promise<unknown> =>
  sharedClientOf(client).transport.unary(
    'read',
    (host, options) => host.kv.range({ key: Buffer.from('key') }, options),
    {
      withinMs: SOON_MS,
    },
  );

test('L4: after a silent connection is dropped, new calls use a new one', async ({
  client: connect,
  world,
}) => {
  await using proxy = await startProxy({ target: world.etcd.endpoints[0]! });
  const client = connect({ hosts: proxy.endpoint });
  const stream = await watch(client);
  await read(client);
  const before = proxy.connections;

  stream.fail();
  await read(client);

  expect(proxy.connections).toBe(before + 1);
  client.close();
});

test('L4: a stream that was closed cleanly does not keep a silent one alive', async ({
  client: connect,
  world,
}) => {
  await using proxy = await startProxy({ target: world.etcd.endpoints[0]! });
  const client = connect({ hosts: proxy.endpoint });
  const [first, second] = [await watch(client), await watch(client)];
  await read(client);
  const before = proxy.connections;

  const over = new Promise<unknown>((resolve) => first.raw.on('error', resolve)); // we cancelled it
  first.close();
  await over;
  second.fail();
  await read(client);

  expect(proxy.connections).toBe(before + 1);
  client.close();
});
