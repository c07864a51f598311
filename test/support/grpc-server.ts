import { constants, createServer, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';
import { bytesField, varintField } from '../../src/last-will/grpc.ts';

/** The answer to a call: a message, or a status without one. */
export interface Answer {
  /** gRPC's status code. Default: 0. */
  readonly status?: number;
  readonly message?: string;
  readonly body?: Buffer;
  /** Whether HTTP/2 refuses the call unread, instead of an answer. */
  readonly isRefused?: boolean;
}

export interface GrpcServer {
  /** `host:port`, or the path of its socket. */
  readonly host: string;
  /** The names of all calls so far, as `LeaseRevoke`. */
  readonly asked: string[];
  /** How many connections are open. */
  readonly connections: () => number;
  /** Ends its connections, and refuses new ones. */
  readonly stop: () => void;
}

/**
 * A gRPC server until the end of the test. `answer` returns the answer to a call of a name; undefined sends
 * none.
 * @param at the path of its socket, or its port. Default: a free port.
 */
export async function grpcServer(
  answer: (name: string) => Answer | undefined,
  at?: string | number,
): Promise<GrpcServer> {
  const asked: string[] = [];
  const server = createServer();
  const sessions = new Set<{ destroy(): void }>();
  server.on('session', (session) => {
    sessions.add(session);
    session.on('close', () => sessions.delete(session));
  });
  server.on('stream', (stream, headers) => {
    stream.on('error', () => undefined);
    const name = String(headers[':path']).replace(/^.*\//, '');
    asked.push(name);
    const given = answer(name);
    if (given !== undefined) respond(stream, given);
  });
  await new Promise<void>((resolve) =>
    typeof at === 'string' ? server.listen(at, resolve) : server.listen(at ?? 0, '127.0.0.1', resolve),
  );
  const stop = (): void => {
    for (const session of sessions) session.destroy();
    server.close();
  };
  onTestFinished(stop);
  return {
    host: typeof at === 'string' ? at : `127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    connections: () => sessions.size,
    stop,
  };
}

function respond(stream: ServerHttp2Stream, { status = 0, message = '', body, isRefused }: Answer): void {
  if (isRefused === true) return stream.close(constants.NGHTTP2_REFUSED_STREAM);
  const head = { ':status': 200, 'content-type': 'application/grpc' };
  const trailers = { 'grpc-status': status, 'grpc-message': message };
  if (body === undefined) return stream.respond({ ...head, ...trailers }, { endStream: true });
  stream.respond(head, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers(trailers));
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(body.length, 1);
  stream.end(Buffer.concat([prefix, body]));
}

/** The header of every answer of etcd. */
export const headerOf = (clusterId: bigint): Buffer => bytesField(1, varintField(1, clusterId));
