import { type Server, type ServerResponse, createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { reply } from './reply.ts';
import { type Rules, refusal } from './rules.ts';
import type { ServeSettings } from '../watchdog/messages.ts';
import { type Backend, type Routes, redirect, routes, safe } from './routes.ts';

/** The most connections of all clients together. */
const MOST_CONNECTIONS = 64;
/** The most connections of one address. At this limit, a new connection replaces the oldest idle one. */
const MOST_PER_ADDRESS = 16;
/** How often Node enforces `headersTimeout`, in milliseconds. Node's default for this interval is 30 s. */
const CHECK_EVERY_MS = 1_000;

/** The HTTP server of the worker. Every wait for a client is bounded. */
export class DiagnosticsHttpServer {
  readonly #server: Server;

  constructor(backend: Backend, { token, allowedHosts, maxSeconds }: ServeSettings) {
    const rules = { token, allowedHosts };
    const answer = everyPath(routes(backend, rules, maxSeconds), rules);
    const options = { maxHeaderSize: 8192, connectionsCheckingInterval: CHECK_EVERY_MS };
    const connections = new Connections();
    this.#server = createServer(options, (request, response) => {
      connections.busy(request.socket, response);
      void reply(answer, request, response).catch(() => response.destroy());
    });
    this.#server.on('connection', (socket: Socket) => connections.add(socket));
    this.#server.maxConnections = MOST_CONNECTIONS;
    this.#server.headersTimeout = 4_000; // at most 5 s, with CHECK_EVERY_MS
    this.#server.requestTimeout = 10_000;
    this.#server.keepAliveTimeout = 5_000;
    this.#server.setTimeout((maxSeconds + 15) * 1000); // longer than a profile, because no byte is sent meanwhile
  }

  /** @returns the port; rejects if it is taken or forbidden. */
  listen({ host, port }: ServeSettings): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ host, port, exclusive: true }, () => {
        this.#server.off('error', reject);
        this.#server.on('error', () => {}); // without a listener, an error would end the worker
        resolve((this.#server.address() as AddressInfo).port);
      });
    });
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }
}

/** Unlike the handler, the server answers `/` and applies the rules to unknown paths. */
const everyPath =
  (answer: Routes, rules: Rules): Routes =>
  async (request) => {
    const found = await answer(request);
    if (found !== undefined) return found;
    const refused = refusal(request, rules);
    if (refused !== undefined) return safe(refused);
    return request.url === '/' ? safe(redirect('debug/pprof/')) : undefined;
  };

/** Silent sockets must not keep out a health probe, so a new connection replaces the oldest idle one. */
class Connections {
  readonly #byAddress = new Map<string, Set<Socket>>();
  readonly #busy = new WeakSet<Socket>();

  add(socket: Socket): void {
    const address = socket.remoteAddress ?? '';
    const sockets = this.#byAddress.get(address) ?? new Set<Socket>();
    this.#byAddress.set(address, sockets);
    if (sockets.size >= MOST_PER_ADDRESS) {
      const idle = [...sockets].find((each) => !this.#busy.has(each));
      (idle ?? socket).destroy();
      if (idle === undefined) return;
      sockets.delete(idle);
    }
    sockets.add(socket);
    socket.once('close', () => {
      sockets.delete(socket);
      if (sockets.size === 0 && this.#byAddress.get(address) === sockets) this.#byAddress.delete(address);
    });
  }

  /** Protects the socket from replacement until the response is sent or the client has gone. */
  busy(socket: Socket, response: ServerResponse): void {
    this.#busy.add(socket);
    response.once('close', () => this.#busy.delete(socket));
  }
}
