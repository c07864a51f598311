/**
 * The HTTP server of a replica. Every replica answers, leader or not.
 *
 *   POST /synctask/add   {"name": "…", "payload": …}  →  201 {"id": "…"}, once etcd has the task
 *   GET  /synctask/del?id=…                           →  200, or 404
 *   GET  /synctask/list                               →  200 {"leader": "…", "waiting": […], "done": […]}
 *   GET  /healthz, /readyz                            →  200 or 503, for probes
 */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Election } from 'etcd-election';
import type { TaskStore } from './task-store.ts';

const LONGEST_BODY_BYTES = 64 * 1024;

/** How long an answer may take. There must be a limit, because calls of etcd3 have none by default. */
const ANSWER_WITHIN_MS = 5_000;

/** An invalid request. The reply contains the message. */
class Refusal extends Error {
  readonly status: number;
  readonly headers: Record<string, string>;

  constructor(status: number, message: string, headers: Record<string, string> = {}) {
    super(message);
    this.status = status;
    this.headers = headers;
  }
}

type Route = (request: IncomingMessage, query: URLSearchParams) => Promise<[status: number, body: object]>;

export function api(tasks: TaskStore, election: Election): RequestListener {
  const routes: Record<string, Record<string, Route>> = {
    '/synctask/add': {
      POST: async (request) => {
        const { name, payload } = taskFrom(await bodyOf(request));
        const { id } = await tasks.add(name, payload);
        return [201, { id }];
      },
    },
    '/synctask/del': {
      GET: async (_, query) => {
        const id = query.get('id') ?? '';
        if (!/^[0-9a-f-]{36}$/.test(id)) throw new Refusal(400, 'id: expected the id of a task');
        if (!(await tasks.remove(id))) throw new Refusal(404, `no task ${id} waits`);
        return [200, { id }];
      },
    },
    '/synctask/list': {
      GET: async () => {
        const [waiting, done, leader] = await Promise.all([tasks.waiting(), tasks.done(), election.leader()]);
        return [200, { leader: leader?.value ?? null, waiting, done }];
      },
    },
    '/healthz': { GET: async () => probe(election.health().healthy, election) },
    '/readyz': { GET: async () => probe(election.health().standing, election) },
  };
  return (request, response) => {
    const late = AbortSignal.timeout(ANSWER_WITHIN_MS);
    const tooLate = new Promise<never>((_, reject) =>
      late.addEventListener('abort', () => reject(new Error(`no answer within ${ANSWER_WITHIN_MS} ms`)), {
        once: true,
      }),
    );
    Promise.race([answer(request, routes), tooLate])
      .then(([status, body]) => send(response, status, body))
      .catch((error: unknown) => {
        if (error instanceof Refusal)
          return send(response, error.status, { error: error.message }, error.headers);
        // The outcome in etcd is unknown. The client may repeat the request, or read the list.
        console.error(`${request.method} ${request.url}: ${String(error)}`);
        send(response, 503, { error: 'etcd did not answer' }, { 'retry-after': '1' });
      });
  };
}

const probe = async (isWell: boolean, election: Election): Promise<[number, object]> => [
  isWell ? 200 : 503,
  election.health(),
];

async function answer(
  request: IncomingMessage,
  routes: Record<string, Record<string, Route>>,
): Promise<[number, object]> {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://localhost');
  const methods = Object.hasOwn(routes, pathname) ? routes[pathname] : undefined;
  if (methods === undefined) throw new Refusal(404, `nothing at ${pathname}`);
  const route = Object.hasOwn(methods, request.method ?? '') ? methods[request.method!] : undefined;
  if (route === undefined)
    throw new Refusal(405, `${request.method} is not for ${pathname}`, {
      allow: Object.keys(methods).join(', '),
    });
  return await route(request, searchParams);
}

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  // With a plain `for await (… of request)`, a throw would destroy the socket, and no answer could be sent.
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > LONGEST_BODY_BYTES)
      throw new Refusal(413, `at most ${LONGEST_BODY_BYTES} bytes`, { connection: 'close' });
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8')) as unknown;
  } catch {
    throw new Refusal(400, 'expected JSON');
  }
}

function taskFrom(body: unknown): { name: string; payload: unknown } {
  const { name, payload } = (typeof body === 'object' && body !== null ? body : {}) as Record<
    string,
    unknown
  >;
  if (typeof name !== 'string' || name === '' || name.length > 200)
    throw new Refusal(400, 'name: expected a text of 1 to 200 characters');
  return { name, payload: payload ?? null };
}

function send(
  response: ServerResponse,
  status: number,
  body: object,
  headers: Record<string, string> = {},
): void {
  if (response.headersSent || response.destroyed) return;
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(`${JSON.stringify(body)}\n`);
}
