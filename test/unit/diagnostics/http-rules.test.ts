import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Request, refusal, secondsOf } from '../../../src/diagnostics/http/rules.ts';
import { routes } from '../../../src/diagnostics/http/routes.ts';
import { backend, locked, open, request, TOKEN } from './http-backend.ts';

// Which requests the diagnostic pages refuse, and which they leave to the service.

describe('a service that mounts the handler at its root', () => {
  it.each<[string, Partial<Request>]>([
    ['/api/orders', { method: 'POST' }],
    ['/api/orders/%e4%b8%ad', {}],
    ['/files/../secret', {}],
    ['/api', { headers: { host: 'shop.example' } }],
    ['/', { method: 'OPTIONS' }],
    [`/search?q=${'x'.repeat(3_000)}`, {}],
  ])('keeps its own path %s', async (url, more) => {
    expect(await routes(backend(), locked, 60)(request(url, more))).toBeUndefined();
  });
});

describe('refused requests', () => {
  const get = (url: string, headers = {}): Request => request(url, { headers });
  it.each<[string, Request, number | undefined]>([
    ['GET', get('/healthz'), undefined],
    ['HEAD', request('/debug/pprof/', { method: 'HEAD' }), undefined],
    ['POST', request('/debug/pprof/', { method: 'POST' }), 405],
    ['DELETE', request('/', { method: 'DELETE' }), 405],
    ['OPTIONS', request('/', { method: 'OPTIONS' }), 405],
    ['a step up', get('/debug/pprof/../../etc/passwd'), 400],
    ['an encoded step up', get('/debug/pprof/%2e%2e/secret'), 400],
    ['an encoded slash', get('/debug%2fpprof/'), 400],
    ['a backslash', get('/debug\\pprof'), 400],
    ['a complete URL', get('http://evil.example/debug/pprof/'), 400],
    ['a very long URL', get(`/debug/pprof/top?x=${'x'.repeat(3_000)}`), 414],
    ['localhost', get('/', { host: 'localhost:6161' }), undefined],
    ['an IPv6 address', get('/', { host: '[::1]:6161' }), undefined],
    ['an allowed name', get('/', { host: 'OPS.example' }), undefined],
    ['a foreign name', get('/', { host: 'evil.example:6161' }), 403],
    ['a foreign name that looks local', get('/', { host: '127.0.0.1.evil.example' }), 403],
    ['a name with a user', get('/', { host: 'localhost@evil.example' }), 403],
    ['no name', get('/', { host: '' }), 403],
    ['no host, as in HTTP/1.0', get('/', { host: undefined }), undefined],
    ['HTTP/2', get('/', { host: undefined, ':authority': '127.0.0.1:6161' }), undefined],
    ['HTTP/2 by a foreign name', get('/', { host: undefined, ':authority': 'evil.example' }), 403],
    [
      'an image on another site',
      get('/', { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors' }),
      403,
    ],
    [
      'a link on another site',
      get('/', { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' }),
      undefined,
    ],
  ])('%s', (_name, given, status) => {
    expect(refusal(given, open)?.status).toBe(status);
  });

  it.each<[string, string | undefined, number | undefined]>([
    ['no token', undefined, 401],
    ['another token', 'Bearer wrong', 401],
    ['an empty token', 'Bearer ', 401],
    ['another scheme', `Digest ${TOKEN}`, 401],
    ['the token', `Bearer ${TOKEN}`, undefined],
    ['the token as password', `Basic ${btoa(`any:${TOKEN}`)}`, undefined],
    ['the token as user', `Basic ${btoa(`${TOKEN}:`)}`, 401],
  ])('with a token required: %s', (_name, authorization, status) => {
    const headers = authorization === undefined ? {} : { authorization };
    expect(refusal(request('/debug/pprof/', { headers }), locked)?.status).toBe(status);
    expect(refusal(request('/healthz', { headers }), locked)).toBeUndefined();
  });

  it.each([
    ['', 30],
    ['?seconds=5', 5],
    ['?seconds=0.5', 0.5],
    ['?seconds=60', 60],
    ['?other=1', 30],
    ['?seconds=', 400],
    ['?seconds=abc', 400],
    ['?seconds=1e9', 400],
    ['?seconds=-1', 400],
    ['?seconds=0', 400],
    ['?seconds=60.1', 400],
    ['?seconds=NaN', 400],
    ['?seconds=Infinity', 400],
    ['?seconds=0x10', 400],
    ['?seconds=1&seconds=2', 400],
  ])('seconds: %s', (query, expected) => {
    const seconds = secondsOf(`/debug/pprof/profile${query}`, 60);
    expect(typeof seconds === 'number' ? seconds : seconds.status).toBe(expected);
  });

  it('refuses any number outside its range', () => {
    fc.assert(
      fc.property(fc.string(), (typed) => {
        const seconds = secondsOf(`/x?seconds=${typed}`, 60);
        if (typeof seconds === 'number') expect(seconds > 0 && seconds <= 60).toBe(true);
      }),
    );
  });
});
