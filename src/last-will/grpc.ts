/**
 * A minimal gRPC client on Node's own HTTP/2. The helper does not load etcd3, which would take most of its time and
 * memory.
 */
import type { ClientHttp2Session, IncomingHttpHeaders } from 'node:http2';
import type { Reach } from './messages.ts';

export interface Answer {
  /** gRPC's status code: 0 is success. */
  readonly status: number;
  readonly said: string;
  readonly body: Buffer;
}

/** The longest answer that is read. Answers of etcd are far shorter, but another server might send without end. */
const MAX_ANSWER_BYTES = 64 * 1024;

/** @param host `host:port`, or the path of a socket. If the connection fails, the calls on it reject. */
export function dial(host: string, { tls, authority }: Reach): ClientHttp2Session {
  // Loaded on first use: a helper that only waits should use little memory.
  const { connect } = process.getBuiltinModule('node:http2');
  const isSocket = host.startsWith('/');
  const url = `${tls === undefined ? 'http' : 'https'}://${authority ?? (isSocket ? 'localhost' : host)}`;
  const { hostname, port } = new URL(isSocket ? 'grpc://localhost' : `grpc://${host}`);
  const name = hostname.replace(/^\[|\]$/g, '');
  const address = isSocket ? { path: host } : { host: name, port: Number(port || 443) };
  const session = connect(url, {
    createConnection: () =>
      tls === undefined
        ? process.getBuiltinModule('node:net').connect(address)
        : process.getBuiltinModule('node:tls').connect({
            ...address,
            ALPNProtocols: ['h2'],
            ...(tls.ca !== undefined && { ca: tls.ca }),
            ...(tls.key !== undefined && { key: tls.key }),
            ...(tls.cert !== undefined && { cert: tls.cert }),
            ...serverName(tls.servername ?? name),
          }),
  });
  session.on('error', () => undefined); // the calls report the error
  return session;
}

/** The server name for TLS; none for an IP address, which TLS does not allow. Node checks the certificate in both cases. */
function serverName(name: string): { servername?: string } {
  return process.getBuiltinModule('node:net').isIP(name) === 0 ? { servername: name } : {};
}

/** @throws {Error} if no answer comes. */
export function call(
  session: ClientHttp2Session,
  path: string,
  message: Buffer,
  metadata: Readonly<Record<string, string>>,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const stream = session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
      hasleader: 'true', // a member without a leader then answers at once
      ...metadata,
    });
    const chunks: Buffer[] = [];
    let last: IncomingHttpHeaders = {};
    stream.on('response', (headers) => (last = headers));
    stream.on('trailers', (trailers) => (last = trailers));
    let bytes = 0;
    stream.on('data', (chunk: Buffer) => {
      if ((bytes += chunk.length) > MAX_ANSWER_BYTES) stream.close();
      else chunks.push(chunk);
    });
    stream.on('error', reject);
    stream.on('close', () => {
      const status = last['grpc-status'];
      if (status === undefined) reject(new Error('no answer'));
      else
        resolve({
          status: Number(status),
          said: percentDecoded(String(last['grpc-message'] ?? '')),
          body: Buffer.concat(chunks).subarray(5), // skip the prefix of the message: compression flag and length
        });
    });
    const head = Buffer.alloc(5);
    head.writeUInt32BE(message.length, 1);
    stream.end(Buffer.concat([head, message]));
  });
}

/** Decodes gRPC's error messages. Never throws: a proxy may send a bare `%`, or bytes that are not UTF-8. */
export const percentDecoded = (text: string): string =>
  Buffer.from(
    text.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
    'latin1',
  ).toString();

export function varintField(field: number, value: bigint): Buffer {
  return Buffer.from([field << 3, ...varint(value)]);
}

export function bytesField(field: number, value: string | Buffer): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value) : value;
  return Buffer.concat([Buffer.from([(field << 3) | 2, ...varint(BigInt(bytes.length))]), bytes]);
}

function varint(value: bigint): number[] {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, value);
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  return [...bytes, Number(rest)];
}

/** Finds a varint field or a bytes field in a protobuf message. Skips other fields. */
export function readField(message: Buffer, field: number): bigint | Buffer | undefined {
  let at = 0;
  const next = (): bigint => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = message[at++] ?? 0;
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) break;
    }
    return BigInt.asUintN(64, value);
  };
  while (at < message.length) {
    const tag = Number(next());
    let value: bigint | Buffer | undefined;
    if ((tag & 7) === 0) value = next();
    else if ((tag & 7) === 2) {
      const length = Number(next());
      value = message.subarray(at, at + length);
      at += length;
    } else at += (tag & 7) === 1 ? 8 : 4;
    if (tag >> 3 === field) return value;
  }
  return undefined;
}
