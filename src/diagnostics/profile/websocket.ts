import { randomBytes } from 'node:crypto';
import { request } from 'node:http';
import type { Socket } from 'node:net';
import { DiagnosticsError } from '../errors.ts';

/** Largest frame, in bytes. A profile of one minute takes several megabytes. */
const MOST_BYTES = 512 * 1024 * 1024;

const OPEN_WITHIN_MS = 5_000;

/**
 * The part of WebSocket (RFC 6455) that an inspector uses. Node has had its own client only since version 22.
 */
export class WebSocketText {
  readonly #socket: Socket;
  #received: Buffer = Buffer.alloc(0);
  #parts: Buffer[] = [];

  private constructor(socket: Socket, onText: (text: string) => void, onEnd: () => void) {
    this.#socket = socket;
    socket.on('data', (data: Buffer) => this.#read(data, onText));
    socket.on('error', () => {}); // 'close' follows
    socket.on('close', onEnd);
  }

  static connect(url: string, onText: (text: string) => void, onEnd: () => void): Promise<WebSocketText> {
    return new Promise((resolve, reject) => {
      const { hostname, port, pathname } = new URL(url);
      const headers = {
        connection: 'Upgrade',
        upgrade: 'websocket',
        'sec-websocket-version': '13',
        'sec-websocket-key': randomBytes(16).toString('base64'),
      };
      const asked = request({ hostname, port, path: pathname, headers, agent: false });
      const limit = setTimeout(() => asked.destroy(refused('it did not answer')), OPEN_WITHIN_MS);
      asked.on('upgrade', (_response, socket, head) => {
        clearTimeout(limit);
        const opened = new WebSocketText(socket as Socket, onText, onEnd);
        if (head.length > 0) opened.#read(head, onText);
        resolve(opened);
      });
      asked.on('response', ({ statusCode }) => {
        reject(refused(`it answered ${statusCode}`));
        asked.destroy();
      });
      asked.on('error', reject);
      asked.on('close', () => clearTimeout(limit));
      asked.end();
    });
  }

  /** Sends one text. Frames of a client must be masked. Any masking key is allowed, so the key is zero. */
  send(text: string): void {
    const payload = Buffer.from(text);
    const length = Buffer.alloc(9);
    length[0] = 0x80 | 127;
    length.writeBigUInt64BE(BigInt(payload.length), 1);
    this.#socket.write(Buffer.concat([Buffer.of(0x81), length, Buffer.alloc(4), payload]));
  }

  close(): void {
    this.#socket.destroy();
  }

  #read(data: Buffer, onText: (text: string) => void): void {
    this.#received = Buffer.concat([this.#received, data]);
    for (let frame = this.#nextFrame(); frame !== undefined; frame = this.#nextFrame()) {
      const { isLast, opcode, payload } = frame;
      if (opcode === 8) return this.close();
      if (opcode > 2) continue; // a ping or a pong. This connection is short, so a ping needs no answer
      this.#parts.push(payload);
      if (!isLast) continue;
      const text = Buffer.concat(this.#parts).toString();
      this.#parts = [];
      onText(text);
    }
  }

  #nextFrame(): { isLast: boolean; opcode: number; payload: Buffer } | undefined {
    const { length: available } = this.#received;
    if (available < 2) return undefined;
    const [first = 0, second = 0] = this.#received;
    const short = second & 0x7f;
    const header = short === 126 ? 4 : short === 127 ? 10 : 2;
    if (available < header) return undefined;
    const size =
      short === 126
        ? this.#received.readUInt16BE(2)
        : short === 127
          ? Number(this.#received.readBigUInt64BE(2))
          : short;
    if (size > MOST_BYTES) {
      this.close();
      return undefined;
    }
    if (available < header + size) return undefined;
    const payload = this.#received.subarray(header, header + size);
    this.#received = this.#received.subarray(header + size);
    return { isLast: (first & 0x80) !== 0, opcode: first & 0x0f, payload };
  }
}

const refused = (why: string): DiagnosticsError =>
  new DiagnosticsError('DIAGNOSTICS_UNAVAILABLE', `no inspector: ${why}`);
