import { once } from 'node:events';
import { type Server, type Socket, connect, createServer } from 'node:net';
import { freePort } from './ports.ts';
import { Pipe } from './proxy-pipe.ts';

/** `up` is from the client to the target, `down` back. */
export type Direction = 'up' | 'down' | 'both';

export interface StartProxyOptions {
  /** Where connections go: a URL (`http://127.0.0.1:2379`), or `host:port`. */
  target: string;
  /** Port on 127.0.0.1 to listen on. Default: a free one. */
  port?: number | undefined;
}

/**
 * A network between a client and etcd, with faults on demand. Faults add up, and last until {@link restore}. A call takes
 * effect before it returns, except where it returns a promise.
 */
export interface FaultyProxy extends AsyncDisposable {
  /** What to give to the client instead of the target: same scheme, our port. */
  readonly endpoint: string;
  readonly port: number;
  /** Connections accepted so far. Connections refused while {@link cut} do not count. */
  readonly connections: number;
  /** Connections open now, on one side at least. */
  readonly openConnections: number;
  /** Bytes forwarded to the target so far. */
  readonly bytesUp: number;
  /** Bytes forwarded to clients so far. */
  readonly bytesDown: number;
  /** Bytes of replies that {@link loseReplies} dropped so far. */
  readonly bytesLost: number;
  /** Connections that we ended with a reset so far. */
  readonly resets: number;
  /** A machine that is off: ends all connections, and refuses new ones. */
  cut(): void;
  /**
   * A silent partition: connections stay open, new ones are accepted, and nothing more gets through in this direction, not
   * even the news that the other side has gone. What is sent meanwhile is kept (by the operating system, whose buffers
   * then push back) and arrives after {@link resume}, as it would when a cable is plugged in again.
   */
  stall(direction?: Direction): void;
  /** Ends {@link stall}. */
  resume(): void;
  /** A long way: every byte arrives this much later, in each direction. Milliseconds, 0 to 60,000; 0 ends it. */
  slow(delayMs: number): void;
  /** Ends all connections with a reset (RST), as a crashed machine's kernel or a firewall does. New ones are welcome. */
  reset(): void;
  /** As {@link reset}, and from now on resets each new connection as soon as it is accepted and counted. */
  resetAll(): void;
  /**
   * Requests arrive and replies do not: whatever comes back is dropped, and `resetAfterMs` after the first lost byte of
   * a connection, that connection is reset. So a client cannot know whether what it asked for has happened. Default: 100
   * milliseconds, time for etcd to do what it was asked.
   */
  loseReplies(options?: { resetAfterMs?: number | undefined }): void;
  /** Ends every fault. Connections that lost bytes are reset. Resolves when new connections are accepted again. */
  restore(): Promise<void>;
  /** Ends the proxy and all its connections. May be called again. */
  close(): Promise<void>;
}

/**
 * Starts a TCP proxy on 127.0.0.1 whose network can fail.
 *
 * @throws {TypeError} if the target is no address.
 * @throws {Error} if the port is taken (`EADDRINUSE`).
 */
export async function startProxy({ target, port }: StartProxyOptions): Promise<FaultyProxy> {
  const proxy = new TcpProxy(parseTarget(target), port ?? (await freePort()));
  await proxy.restore();
  return proxy;
}

interface Target {
  readonly scheme: string;
  readonly host: string;
  readonly port: number;
}

interface Connection {
  readonly client: Socket;
  readonly upstream: Socket;
  readonly up: Pipe;
  readonly down: Pipe;
  hasLost: boolean;
}

/** What goes wrong at present; a new connection meets it too. */
interface Faults {
  stalledUp: boolean;
  stalledDown: boolean;
  delayMs: number;
  resetsNew: boolean;
  /** Replies are lost, and their connection is reset after this time. */
  losesForMs: number | undefined;
}

const noFaults: Readonly<Faults> = {
  stalledUp: false,
  stalledDown: false,
  delayMs: 0,
  resetsNew: false,
  losesForMs: undefined,
};

class TcpProxy implements FaultyProxy {
  readonly endpoint: string;
  readonly port: number;
  connections = 0;
  bytesUp = 0;
  bytesDown = 0;
  bytesLost = 0;
  resets = 0;
  readonly #target: Target;
  readonly #open = new Set<Connection>();
  #faults: Faults = { ...noFaults };
  #server: Server | undefined;

  constructor(target: Target, port: number) {
    this.#target = target;
    this.port = port;
    this.endpoint = `${target.scheme}127.0.0.1:${port}`;
  }

  get openConnections(): number {
    return this.#open.size;
  }

  cut(): void {
    this.#server?.close();
    this.#server = undefined;
    for (const { client, upstream } of this.#open) {
      client.destroy();
      upstream.destroy();
    }
  }

  stall(direction: Direction = 'both'): void {
    if (direction !== 'down') this.#faults.stalledUp = true;
    if (direction !== 'up') this.#faults.stalledDown = true;
    this.#apply();
  }

  resume(): void {
    this.#faults.stalledUp = false;
    this.#faults.stalledDown = false;
    this.#apply();
  }

  slow(delayMs: number): void {
    if (!(delayMs >= 0 && delayMs <= 60_000))
      throw new RangeError(`delayMs must be 0 to 60000, got ${delayMs}`);
    this.#faults.delayMs = delayMs;
    this.#apply();
  }

  reset(): void {
    for (const connection of this.#open) this.#reset(connection);
  }

  resetAll(): void {
    this.#faults.resetsNew = true;
    this.reset();
  }

  loseReplies({ resetAfterMs = 100 }: { resetAfterMs?: number | undefined } = {}): void {
    this.#faults.losesForMs = resetAfterMs;
  }

  async restore(): Promise<void> {
    this.#faults = { ...noFaults };
    for (const connection of this.#open) if (connection.hasLost) this.#reset(connection);
    this.#apply();
    if (this.#server !== undefined) return;
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => this.#accept(client));
    this.#server = server;
    server.listen(this.port, '127.0.0.1');
    await once(server, 'listening');
  }

  async close(): Promise<void> {
    const closed = this.#server === undefined ? undefined : once(this.#server, 'close');
    this.cut();
    await closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #accept(client: Socket): void {
    this.connections++;
    if (this.#faults.resetsNew) {
      this.resets++;
      client.resetAndDestroy();
      return;
    }
    const { host, port } = this.#target;
    const upstream = connect({ host, port, allowHalfOpen: true, noDelay: true });
    const connection: Connection = {
      client,
      upstream,
      up: new Pipe(client, upstream, (bytes) => {
        this.bytesUp += bytes;
        return true;
      }),
      down: new Pipe(upstream, client, (bytes) => this.#mayComeDown(connection, bytes)),
      hasLost: false,
    };
    this.#open.add(connection);
    for (const side of [client, upstream]) {
      side.once('close', () => {
        if (client.destroyed && upstream.destroyed) this.#open.delete(connection);
      });
    }
    this.#apply();
  }

  #mayComeDown(connection: Connection, bytes: number): boolean {
    const { losesForMs } = this.#faults;
    if (connection.hasLost) {
      this.bytesLost += bytes; // with a gap in them, the bytes that follow are no use; nor may it end in an orderly way
      return false;
    }
    if (losesForMs === undefined || bytes === 0) {
      this.bytesDown += bytes;
      return true;
    }
    this.bytesLost += bytes;
    connection.hasLost = true;
    const timer = setTimeout(() => this.#reset(connection), losesForMs);
    connection.client.once('close', () => clearTimeout(timer));
    return false;
  }

  #reset(connection: Connection): void {
    if (!connection.client.destroyed) this.resets++;
    for (const side of [connection.client, connection.upstream]) {
      if (!side.destroyed) side.resetAndDestroy();
    }
  }

  #apply(): void {
    const { stalledUp, stalledDown, delayMs } = this.#faults;
    for (const { up, down } of this.#open) {
      up.set({ isStalled: stalledUp, delayMs });
      down.set({ isStalled: stalledDown, delayMs });
    }
  }
}

function parseTarget(target: string): Target {
  const [, scheme = '', address] = /^([a-z]+:\/\/)?(.*)$/.exec(target) ?? [];
  if (!URL.canParse(`tcp://${address}`)) throw new TypeError(`not an address: ${target}`);
  const { hostname, port } = new URL(`tcp://${address}`);
  if (port === '') throw new TypeError(`an address needs a port: ${target}`);
  return { scheme, host: hostname.replace(/^\[|\]$/g, ''), port: Number(port) };
}
