/**
 * Stands between a client and a real etcd, passes gRPC on as it is, and answers some calls itself, with an error
 * that etcd would give: an overload that lasts cannot be had from a real etcd on demand.
 */
import { connect, createServer, type Http2Server, type ServerHttp2Stream } from 'node:http2';
import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';

export interface RefusingRelay extends AsyncDisposable {
  readonly endpoint: string;
  /** Calls that came, streams included, and connections. */
  readonly calls: number;
  readonly connections: number;
  /** Calls answered here, instead of by etcd. */
  readonly refused: number;
  /** What to answer, and to which methods; undefined passes everything on. */
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
