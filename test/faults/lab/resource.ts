/**
 * Something outside etcd that leaders write to, over HTTP. It takes an active role: whoever comes with a smaller
 * token than it has seen is refused. That is all the fencing there is, and all that is needed.
 */
import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import type { LogEntry } from './checker.ts';

export interface Resource extends AsyncDisposable {
  readonly url: string;
  readonly log: readonly LogEntry[];
  /** How many writes came with an old token. */
  readonly refused: number;
  /** Forgets all, for the next run. */
  clear(): void;
}

export async function startResource(): Promise<Resource> {
  let log: LogEntry[] = [];
  let highest = -1n;
  let refused = 0;
  const server = createServer((asked, response) => {
    const query = new URL(asked.url ?? '/', 'http://resource').searchParams;
    const token = BigInt(query.get('token') ?? '-1');
    asked.resume();
    if (token < highest) {
      refused++;
      response.writeHead(409).end();
      return;
    }
    highest = token;
    const [process, counter] = [query.get('process') ?? '', Number(query.get('counter'))];
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
