import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Reply, text } from './rules.ts';
import { type Routes, safe } from './routes.ts';

/** Answers one request. If the path is not ours, it calls `next`, or replies 404 without a `next`. */
export async function reply(
  routes: Routes,
  request: IncomingMessage,
  response: ServerResponse,
  next?: () => void,
  prefix = '',
): Promise<void> {
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  const { method = 'GET', headers, url = '/' } = request;
  const isUnder = prefix === '' || url === prefix || url.startsWith(`${prefix}/`);
  const path = isUnder ? url.slice(prefix.length) || '/' : url;
  const found = isUnder ? await routes({ method, url: path, headers, signal: gone.signal }) : undefined;
  if (found === undefined && next !== undefined) return next();
  send(response, found ?? NOT_FOUND, method === 'HEAD');
}

const NOT_FOUND: Reply = safe(text(404, 'not found; begin at /debug/pprof/'));

function send(response: ServerResponse, { status, headers, body }: Reply, isHead: boolean): void {
  if (response.headersSent || response.destroyed) return;
  const bytes = Buffer.from(body);
  response.writeHead(status, { ...headers, 'content-length': bytes.length });
  response.end(isHead ? undefined : bytes);
}
