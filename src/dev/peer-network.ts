/**
 * The network between the members of etcd, with partitions on demand. Every member dials the others through its own
 * SOCKS server. So the network knows both ends of every connection.
 */
import { once } from 'node:events';
import { type AddressInfo, type Server, type Socket, connect, createServer } from 'node:net';
import type { Direction } from './proxy.ts';
import { Pipe } from './proxy-pipe.ts';

interface Connection {
  /** Names of members. */
  readonly dialler: string;
  readonly dialled: string;
  readonly client: Socket;
  readonly upstream: Socket;
  /** Bytes from the dialler. */
  readonly up: Pipe;
  /** Bytes to the dialler. */
  readonly down: Pipe;
}

/** The part of SOCKS 5 (RFC 1928) that Go's client uses: no authentication, then CONNECT to a name. */
const VERSION = 5;
const NO_AUTHENTICATION = 0;
const CONNECT = 1;
const DOMAIN_NAME = 3;
const IPV4 = 1;
const GRANTED = Buffer.from([VERSION, 0, 0, IPV4, 0, 0, 0, 0, 0, 0]);

export class PeerNetwork {
  /** The port of every member, by its name. */
  readonly #ports = new Map<string, number>();
  readonly #servers: Server[] = [];
  readonly #open = new Set<Connection>();
  /** Every socket, including those that are still connecting or shaking hands. */
  readonly #sockets = new Set<Socket>();
  #isClosed = false;
  /** The blocked directions of every isolated member. `up` is what the member sends. */
  readonly #isolated = new Map<string, Set<Direction>>();

  /**
   * Adds a member to the network.
   *
   * @returns the peer URL that the member advertises, and the environment variables that make it use this network. The
   *   member uses no proxy for loopback addresses. So the host in the URL is a name that only this network knows.
   */
  async join(
    member: string,
    peerPort: number,
  ): Promise<{ readonly peerUrl: string; readonly env: NodeJS.ProcessEnv }> {
    this.#ports.set(member, peerPort);
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
      this.#track(client);
      this.#accept(member, client).catch(() => client.destroy());
    });
    server.unref();
    this.#servers.push(server);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const proxy = `socks5://127.0.0.1:${port}`;
    return {
      peerUrl: `http://${member}.invalid:${peerPort}`,
      env: { HTTP_PROXY: proxy, http_proxy: proxy, NO_PROXY: '', no_proxy: '' },
    };
  }

  /** Blocks what this member sends (`up`), what it receives (`down`), or both, until {@link rejoin}. */
  isolate(member: string, direction: Direction): void {
    const directions = this.#isolated.get(member) ?? new Set();
    this.#isolated.set(member, directions.add(direction));
    this.#apply();
  }

  /** Ends every {@link isolate} of this member. */
  rejoin(member: string): void {
    this.#isolated.delete(member);
    this.#apply();
  }

  close(): void {
    this.#isClosed = true;
    for (const server of this.#servers) server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #track(socket: Socket): void {
    socket.on('error', () => {}); // 'close' follows
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    if (this.#isClosed) socket.destroy();
  }

  async #accept(dialler: string, client: Socket): Promise<void> {
    const [, methods = 0] = await read(client, 2);
    await read(client, methods);
    client.write(Buffer.from([VERSION, NO_AUTHENTICATION]));
    const [, command, , kind, length = 0] = await read(client, 5);
    if (command !== CONNECT || kind !== DOMAIN_NAME) throw new Error('no CONNECT to a name');
    const host = (await read(client, length)).toString();
    await read(client, 2); // the port, which #ports knows
    const dialled = host.replace(/\.invalid$/, '');
    const port = this.#ports.get(dialled);
    if (port === undefined) throw new Error(`no member ${host}`);
    const upstream = connect({ host: '127.0.0.1', port, allowHalfOpen: true, noDelay: true });
    this.#track(upstream);
    // Grants the request only once the member is connected. Otherwise a member that is down would seem to accept and hang up.
    await Promise.race([once(upstream, 'connect'), once(upstream, 'close')]);
    if (client.destroyed) upstream.destroy(); // the dialler gave up, and no pipe exists yet that would end upstream
    if (upstream.destroyed) throw new Error('connection ended during the handshake');
    client.write(GRANTED);
    const connection = {
      dialler,
      dialled,
      client,
      upstream,
      up: new Pipe(client, upstream, () => true),
      down: new Pipe(upstream, client, () => true),
    };
    this.#open.add(connection);
    for (const side of [client, upstream]) {
      side.once('close', () => {
        if (client.destroyed && upstream.destroyed) this.#open.delete(connection);
      });
    }
    this.#apply();
  }

  #apply(): void {
    for (const { dialler, dialled, up, down } of this.#open) {
      up.set({ isStalled: this.#isBlocked(dialler, dialled), delayMs: 0 });
      down.set({ isStalled: this.#isBlocked(dialled, dialler), delayMs: 0 });
    }
  }

  #isBlocked(from: string, to: string): boolean {
    const has = (member: string, direction: Direction): boolean => {
      const directions = this.#isolated.get(member);
      return directions?.has(direction) === true || directions?.has('both') === true;
    };
    return has(from, 'up') || has(to, 'down');
  }
}

/** Reads exactly `length` bytes. Rejects if the connection ends earlier. */
async function read(socket: Socket, length: number): Promise<Buffer> {
  for (;;) {
    if (length === 0) return Buffer.alloc(0);
    const bytes = socket.read(length) as Buffer | null;
    if (bytes !== null && bytes.length === length) return bytes;
    if (socket.readableEnded || socket.destroyed) throw new Error('connection ended during the handshake');
    await Promise.race([once(socket, 'readable'), once(socket, 'close')]);
  }
}
