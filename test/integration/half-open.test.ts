import type { IWatchRequest, IWatchResponse } from 'etcd3';
import { startProxy } from 'etcd-election/dev';
import { expect } from 'vitest';
import { linkOf } from '../../src/etcd/link.ts';
import { SOON_MS, test } from '../support/world.ts';

test('L4: what begins right after a silent connection is given up begins on a new one', async ({
  client: connect,
  world,
}) => {
  await using proxy = await startProxy({ target: world.etcd.endpoints[0]! });
  const client = connect({ hosts: proxy.endpoint });
  const link = linkOf(client);
  const read = (): Promise<unknown> =>
    link.unary('read', (options) => client.kv.range({ key: Buffer.from('key') }, options), {
      withinMs: SOON_MS,
    });
  const stream = await link.stream<IWatchRequest, IWatchResponse>(
    'watch',
    (options) => client.watchClient.watch(options),
    { withinMs: SOON_MS },
  );
  stream.raw.on('error', () => undefined);
  await read();
  const before = proxy.connections;

  stream.fail();
  await read();

  expect(proxy.connections).toBe(before + 1);
  client.close();
});
