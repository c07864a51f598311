/**
 * A resource outside etcd that leaders write to over HTTP. It refuses any token smaller than the largest one
 * that it has seen. A resource needs no more than this for fencing.
 */
import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import type { LogEntry } from './evidence.ts';

export interface Resource extends AsyncDisposable {
  readonly url: string;
  readonly log: readonly LogEntry[];
  /** A list that leaders read, and write back with one more element. */
  readonly list: readonly string[];
  /** How many writes came with an old token. */
  readonly refused: number;
  /** Forgets everything. After etcd lost its history, tokens start again, and the operator must reset the resource. */
  clear(): void;
}

export async function startResource(): Promise<Resource> {
  let log: LogEntry[] = [];
  let highest = -1n;
  let refused = 0;
  let list: string[] = [];
  const server = createServer((asked, response) => {
    const { pathname, searchParams: query } = new URL(asked.url ?? '/', 'http://resource');
    if (pathname === '/list' && asked.method === 'GET') {
      response.end(JSON.stringify(list));
      return;
    }
    // A client of an earlier test may still poll this port: it is not one of our writers.
    if (pathname !== '/list' && !query.has('process')) {
      asked.resume();
      response.writeHead(404).end();
      return;
    }
    const token = BigInt(query.get('token') ?? '-1');
    // A request without a token is accepted: this is the resource without a fence.
    if (query.has('token') && token < highest) {
      asked.resume();
      refused++;
      response.writeHead(409).end();
      return;
    }
    if (query.has('token')) highest = token;
    if (pathname === '/list') {
      let text = '';
      asked.setEncoding('utf8').on('data', (part: string) => (text += part));
      asked.on('end', () => {
        // A newer token may have arrived together with the body.
        if (query.has('token') && token < highest) {
          refused++;
          response.writeHead(409).end();
          return;
        }
        list = JSON.parse(text) as string[];
        response.end();
      });
      return;
    }
    asked.resume();
    const [process, counter] = [query.get('process')!, Number(query.get('counter'))];
    log.push({ process, token, counter, order: BigInt(log.length), times: 1 });
    response.writeHead(200).end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    get log() {
      return log;
    },
    get list() {
      return list;
    },
    get refused() {
      return refused;
    },
    clear() {
      log = [];
      highest = -1n;
      refused = 0;
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
