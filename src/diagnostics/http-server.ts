import { type Server, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { reply } from './http-reply.ts';
import type { ServeSettings } from './messages.ts';
import { type Backend, type Routes, routes } from './routes.ts';

/** The worker's own server: it answers while the main thread spins. Every wait of a client is bounded. */
export class DiagnosticsHttpServer {
  readonly #server: Server;

  constructor(backend: Backend, { token, allowedHosts, maxSeconds }: ServeSettings) {
    const answer = withFrontPage(routes(backend, { token, allowedHosts }, maxSeconds));
    this.#server = createServer({ maxHeaderSize: 8192 }, (request, response) => {
      void reply(answer, request, response).catch(() => response.destroy());
    });
    this.#server.maxConnections = 16;
    this.#server.headersTimeout = 5_000;
    this.#server.requestTimeout = 10_000;
    this.#server.keepAliveTimeout = 5_000;
    this.#server.setTimeout((maxSeconds + 15) * 1000); // a profile is silent for as long as it takes
  }

  /** @returns the port; rejects if it is taken or forbidden. */
  listen({ host, port }: ServeSettings): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ host, port, exclusive: true }, () => {
        this.#server.off('error', reject);
        this.#server.on('error', () => {}); // of one connection: its client sees it
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

/** On a server of our own, `/` leads to the page for people. */
const withFrontPage =
  (answer: Routes): Routes =>
  (request) =>
    answer(request.url === '/' ? { ...request, url: '/debug/pprof' } : request);
