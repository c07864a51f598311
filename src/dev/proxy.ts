import { once } from 'node:events';
import { type Server, type Socket, connect, createServer } from 'node:net';
import { checkNumber } from './check-number.ts';
import { type ReservedPort, reservePort } from './ports.ts';
import { Pipe } from './proxy-pipe.ts';

/** `up` is from the client to the target, `down` is from the target to the client. */
export type Direction = 'up' | 'down' | 'both';

export interface StartProxyOptions {
  /** The address to forward connections to: a URL (`http://127.0.0.1:2379`), or `host:port`. */
  target: string;
  /** Port on 127.0.0.1 to listen on, 0 to 65,535. Default: 0, which takes a free port. */
  port?: number | undefined;
}

/**
 * A network between a client and etcd, with faults on demand. Faults add up, and {@link restore} ends all of them. Methods
 * that return no promise take effect before they return.
 */
export interface FaultyProxy extends AsyncDisposable {
  /** The address to give to the client, with the scheme of the target and the port of the proxy. */
  readonly endpoint: string;
  readonly port: number;
  /** Connections accepted so far. Connections refused while {@link cut} do not count. */
  readonly connections: number;
  /** Connections that are open now, on one side or on both. */
  readonly openConnections: number;
  /** Bytes forwarded to the target so far. */
  readonly bytesUp: number;
  /** Bytes forwarded to clients so far. */
  readonly bytesDown: number;
  /** Bytes of replies that {@link loseReplies} dropped so far. */
  readonly bytesLost: number;
  /** Connections that the proxy has reset so far. */
  readonly resets: number;
  /** Ends all connections and refuses new ones, as when the process of etcd has ended. */
  cut(): void;
  /**
   * A silent partition. Connections stay open, and new ones are accepted. But nothing gets through in this direction, not
   * even the end of a connection. The bytes arrive after {@link resume}. Default: both directions.
   */
  stall(direction?: Direction): void;
  /** Ends {@link stall}. */
  resume(): void;
  /**
   * Delays every byte in both directions. `delayMs` is in milliseconds, 0 to 60,000. 0 ends the delay.
   *
   * @throws {RangeError} if `delayMs` is out of range.
   */
  slow(delayMs: number): void;
  /** Resets all connections (RST), as a firewall does. New connections are accepted. */
  reset(): void;
  /** Resets all connections, and every new connection once it is accepted. */
  resetAll(): void;
  /**
   * Forwards requests and drops replies. So a client cannot know whether etcd has carried out its request. The proxy
   * resets a connection `resetAfterMs` after its first lost byte. In that time etcd normally carries out a request.
   *
   * @param options.resetAfterMs in milliseconds, 0 to 60,000. Default: 100.
   * @throws {RangeError} if `resetAfterMs` is out of range.
   */
  loseReplies(options?: { resetAfterMs?: number | undefined }): void;
  /**
   * Ends every fault and resets connections that lost bytes. Resolves when new connections are accepted again. If
   * {@link cut} or {@link close} is called meanwhile, `restore()` resolves early.
   *
   * @throws {Error} if another process has taken the port (`EADDRINUSE`). You can call `restore()` again.
   */
  restore(): Promise<void>;
  /** Ends the proxy and all its connections. You can call `close()` again. */
  close(): Promise<void>;
}

/**
 * Starts a TCP proxy on 127.0.0.1 that can imitate faults of the network.
 *
 * @throws {TypeError} if the target is not an address.
 * @throws {RangeError} if the port is out of range.
 * @throws {Error} if the port is taken (`EADDRINUSE`).
 */
export async function startProxy({ target, port = 0 }: StartProxyOptions): Promise<FaultyProxy> {
  checkNumber('port', port, 0, 65_535);
  const address = parseTarget(target);
  const reservation = port === 0 ? await reservePort() : undefined;
  const proxy = new TcpProxy(address, reservation?.port ?? port, reservation);
  await proxy.restore().catch(async (error: unknown) => {
    await proxy.close();
    throw error;
  });
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

/** The faults at present. They apply to new connections too. */
interface Faults {
  stalledUp: boolean;
  stalledDown: boolean;
  delayMs: number;
  resetsNew: boolean;
  /** How long after its first lost reply a connection is reset, in milliseconds; undefined if replies are forwarded. */
  losesForMs: number | undefined;
}

const noFaults: Readonly<Faults> = {
  stalledUp: false,
  stalledDown: false,
  delayMs: 0,
  resetsNew: false,
  losesForMs: undefined,
};

const LONGEST_MS = 60_000;

class TcpProxy implements FaultyProxy {
  readonly endpoint: string;
  readonly port: number;
  connections = 0;
  bytesUp = 0;
  bytesDown = 0;
  bytesLost = 0;
  resets = 0;
  readonly #target: Target;
  /** Keeps the port while {@link cut} refuses connections. */
  readonly #reservation: ReservedPort | undefined;
  readonly #open = new Set<Connection>();
  #faults: Faults = { ...noFaults };
  #server: Server | undefined;
  /** Resolves when the server listens, or is closed. */
  #listening: Promise<void> | undefined;

  constructor(target: Target, port: number, reservation: ReservedPort | undefined) {
    this.#target = target;
    this.port = port;
    this.#reservation = reservation;
    this.endpoint = `${target.scheme}127.0.0.1:${port}`;
  }

  get openConnections(): number {
    return this.#open.size;
  }

  cut(): void {
    this.#server?.close();
    this.#server = undefined;
    this.#listening = undefined;
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
    checkNumber('delayMs', delayMs, 0, LONGEST_MS);
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
    checkNumber('resetAfterMs', resetAfterMs, 0, LONGEST_MS);
    this.#faults.losesForMs = resetAfterMs;
  }

  async restore(): Promise<void> {
    this.#faults = { ...noFaults };
    for (const connection of this.#open) if (connection.hasLost) this.#reset(connection);
    this.#apply();
    this.#listening ??= this.#listen();
    await this.#listening;
  }

  async #listen(): Promise<void> {
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => this.#accept(client));
    this.#server = server;
    const closed = new AbortController();
    server.once('close', () => closed.abort());
    server.listen(this.port, '127.0.0.1');
    try {
      await once(server, 'listening', { signal: closed.signal });
    } catch (error) {
      if (closed.signal.aborted) return; // by cut() or close()
      if (this.#server === server) this.cut(); // the next restore() then tries again
      throw error;
    }
  }

  async close(): Promise<void> {
    const closed = this.#server === undefined ? undefined : once(this.#server, 'close');
    this.cut();
    await closed;
    this.#reservation?.release();
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
      this.bytesLost += bytes; // after lost bytes nothing may follow, not even a FIN
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
