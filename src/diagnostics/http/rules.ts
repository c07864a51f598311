import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';

export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Uint8Array;
}

export interface Request {
  readonly method: string;
  /** Without the mount path of the handler: `/debug/pprof/top?seconds=5`. */
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  /** Aborts when the client has gone. */
  readonly signal: AbortSignal;
}

export interface Rules {
  readonly token: string | undefined;
  /** Host names that a request may use, besides `localhost` and IP addresses. Lower case. */
  readonly allowedHosts: readonly string[];
}

export const text = (
  status: number,
  body: string,
  headers: Readonly<Record<string, string>> = {},
): Reply => ({
  status,
  headers: { 'content-type': 'text/plain; charset=utf-8', ...headers },
  body: `${body}\n`,
});

/** @returns why this request is not served, or undefined. Pure. */
export function refusal({ method, url, headers }: Request, rules: Rules): Reply | undefined {
  if (method !== 'GET' && method !== 'HEAD') {
    return text(405, `method ${method} not allowed; use GET or HEAD`, { allow: 'GET, HEAD' });
  }
  const path = url.split('?', 1)[0] ?? '';
  if (url.length > 2048) return text(414, 'the address is longer than 2048 characters');
  if (!/^\/[\w\-./]*$/.test(path) || path.split('/').includes('..')) {
    return text(400, 'the path may hold letters, digits, "-", "_", "." and "/", and no ".." step');
  }
  if (!isAllowedHost(headers.host ?? headers[':authority'], rules.allowedHosts)) {
    return text(
      403,
      'the Host header has a name that is not allowed (DNS rebinding); list it in `allowedHosts`',
    );
  }
  if (headers['sec-fetch-site'] === 'cross-site' && headers['sec-fetch-mode'] !== 'navigate') {
    return text(403, 'a page of another site sent this request');
  }
  if (path !== '/healthz' && !hasToken({ headers }, rules)) {
    const challenge = { 'www-authenticate': 'Basic realm="etcd-election", charset="UTF-8", Bearer' };
    return text(
      401,
      'a token is needed: Authorization: Bearer <token>, or any user name with the token as password',
      challenge,
    );
  }
  return undefined;
}

/** Whether the request has the token, or none is required. */
export const hasToken = ({ headers }: Pick<Request, 'headers'>, { token }: Rules): boolean =>
  token === undefined || isAuthorized(headers.authorization, token);

/**
 * Protects against DNS rebinding. In this attack, a web page points its own DNS name at 127.0.0.1. Then a browser calls us
 * under that name. So an IP address as host is safe. A request without a host is safe too, because browsers always send a
 * host.
 */
function isAllowedHost(host: IncomingHttpHeaders[string], allowed: readonly string[]): boolean {
  if (host === undefined) return true;
  const [, bracketed, plain] = /^(?:\[([\da-f:.]+)\]|([^\s:/@[\]]+))(?::\d{1,5})?$/i.exec(String(host)) ?? [];
  const name = (bracketed ?? plain ?? '').toLowerCase();
  return isIP(name) !== 0 || name === 'localhost' || (name !== '' && allowed.includes(name));
}

function isAuthorized(authorization: string | undefined, token: string): boolean {
  const [, scheme = '', value = ''] = /^(bearer|basic) +(\S+)$/i.exec(authorization ?? '') ?? [];
  if (scheme.toLowerCase() !== 'basic') return isSame(value, token);
  const decoded = Buffer.from(value, 'base64').toString(); // user:password
  return isSame(decoded.slice(decoded.indexOf(':') + 1), token);
}

/** Compares two texts in constant time. */
const isSame = (given: string, wanted: string): boolean =>
  timingSafeEqual(createHash('sha256').update(given).digest(), createHash('sha256').update(wanted).digest());

/**
 * @returns the requested seconds, or the reply that refuses them. Unlike Go, we refuse text that is not a number.
 */
export function secondsOf(url: string, maxSeconds: number): number | Reply {
  const given = new URLSearchParams(url.split('?')[1] ?? '').getAll('seconds');
  if (given.length === 0) return Math.min(30, maxSeconds);
  const [value = ''] = given;
  const seconds = /^\d{1,9}(?:\.\d{1,6})?$/.test(value) ? Number(value) : NaN;
  if (given.length === 1 && seconds > 0 && seconds <= maxSeconds) return seconds;
  return text(400, `seconds: expected one number above 0, at most ${maxSeconds}`);
}

export const SAFE_HEADERS: Readonly<Record<string, string>> = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
};
