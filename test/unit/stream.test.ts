import { createServer, type Http2Server, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { Etcd3 } from 'etcd3';
import { expect, onTestFinished, test } from 'vitest';
import { sharedClientOf } from '../../src/client/shared-client.ts';
import type { OpenStream } from '../../src/etcd/transport.ts';

/** An address at which `end` ends every call. */
async function answering(end: (stream: ServerHttp2Stream) => void): Promise<Etcd3> {
  const server: Http2Server = createServer();
  server.on('stream', (stream) => {
    stream.on('error', () => undefined);
    end(stream);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const client = new Etcd3({ hosts: `127.0.0.1:${(server.address() as AddressInfo).port}` });
  onTestFinished(() => {
    client.close();
    sharedClientOf(client).transport.closeWhenUnused();
    server.close();
  });
  return client;
}

const within = { withinMs: 5_000 };
const lost = (stream: OpenStream<never, never>): Promise<string> =>
  new Promise((resolve) => stream.onLost(resolve));

const grpc = { ':status': 200, 'content-type': 'application/grpc' };

test.for([
  ['a gateway', { ':status': 404 }, 'Received HTTP status code 404'],
  ['a gateway', { ':status': 502 }, 'Received HTTP status code 502'],
  ['etcd', { ...grpc, 'grpc-status': 14, 'grpc-message': 'etcdserver: no leader' }, 'etcdserver: no leader'],
  [
    'etcd',
    { ...grpc, 'grpc-status': 16, 'grpc-message': 'etcdserver: invalid auth token' },
    'etcdserver: invalid auth token',
  ],
  ['a proxy', { ...grpc, 'grpc-status': 14 }, 'gRPC status UNAVAILABLE without a text'],
] as const)(
  'a stream that %s ends with a reason, and without an internal code: %j',
  async ([, headers, reason]) => {
    const client = await answering((stream) => stream.respond(headers, { endStream: true }));
    const transport = sharedClientOf(client).transport;
    const watch = await transport.stream('watch', (own, options) => own.watchClient.watch(options), within);
    const lease = await transport.stream(
      'renew the lease',
      (own, options) => own.leaseClient.leaseKeepAlive(options),
      within,
    );
    expect(await Promise.all([lost(watch as never), lost(lease as never)])).toEqual([reason, reason]);
  },
);

test('a stream whose connection breaks reports it', async () => {
  const client = await answering((stream) => stream.session?.destroy());
  const watch = await sharedClientOf(client).transport.stream(
    'watch',
    (own, options) => own.watchClient.watch(options),
    within,
  );
  expect(await lost(watch as never)).not.toMatch(/FAILED_PRECONDITION/);
});
