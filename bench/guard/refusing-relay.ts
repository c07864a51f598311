/**
 * A proxy between a client and a real etcd. It passes gRPC on, and answers some calls with an error that etcd
 * could give. A real etcd cannot be overloaded on request.
 */
import { connect, createServer, type Http2Server, type ServerHttp2Stream } from 'node:http2';
import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';

export interface RefusingRelay extends AsyncDisposable {
  readonly endpoint: string;
  /** Received calls, including streams, and connections. */
  readonly calls: number;
  readonly connections: number;
  /** Calls answered by the proxy instead of etcd. */
  readonly refused: number;
  /** The error, and the methods that get it; undefined passes everything on. */
  refuse: { readonly code: number; readonly message: string; readonly methods: RegExp } | undefined;
}

export async function startRefusingRelay(target: string): Promise<RefusingRelay> {
  const server: Http2Server = createServer();
  const sockets = new Set<Socket>();
  const relay = {
    endpoint: '',
    calls: 0,
    connections: 0,
    refused: 0,
    refuse: undefined as RefusingRelay['refuse'],
  };
  server.on('session', (session) => {
    const upstream = connect(target);
    upstream.on('error', () => session.destroy());
    upstream.on('close', () => session.destroy());
    session.on('close', () => upstream.destroy());
    session.on('stream', (stream: ServerHttp2Stream, headers) => {
      relay.calls++;
      stream.on('error', () => undefined);
      const { refuse } = relay;
      if (refuse?.methods.test(headers[':path'] ?? '') === true) {
        relay.refused++;
        const status = { 'grpc-status': String(refuse.code), 'grpc-message': refuse.message };
        stream.respond(
          { ':status': 200, 'content-type': 'application/grpc', ...status },
          { endStream: true },
        );
        return;
      }
      const call = upstream.request(headers);
      call.on('error', () => stream.close());
      stream.on('aborted', () => call.close());
      call.on('response', (answer, flags) => {
        const isWhole = (flags & 1) === 1; // END_STREAM: an error without a body
        stream.respond(answer, isWhole ? { endStream: true } : { waitForTrailers: true });
      });
      let trailers = {};
      call.on('trailers', (received) => {
        trailers = received;
      });
      stream.on('wantTrailers', () => stream.sendTrailers(trailers));
      stream.pipe(call);
      call.pipe(stream);
    });
  });
  server.on('connection', (socket: Socket) => {
    relay.connections++;
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  relay.endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return Object.assign(relay, {
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  });
}
