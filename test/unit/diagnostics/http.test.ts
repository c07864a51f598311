import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import type { RunawayReport } from '../../../src/diagnostics/evidence/report.ts';
import { type ElectionView, NO_SNAPSHOT } from '../../../src/diagnostics/elections.ts';
import { DiagnosticsError } from '../../../src/diagnostics/errors.ts';
import { type Request, refusal, secondsOf } from '../../../src/diagnostics/http/rules.ts';
import { type Backend, routes } from '../../../src/diagnostics/http/routes.ts';
import { withWatchdogMetrics } from '../../../src/diagnostics/watchdog/watchdog-metrics.ts';
import { sampleProfile } from '../../support/sample-profile.ts';

const TOKEN = 'correct-horse-battery';
const open = { token: undefined, allowedHosts: ['ops.example'] };
const locked = { ...open, token: TOKEN };

const request = (url: string, more: Partial<Request> = {}): Request => ({
  method: 'GET',
  url,
  headers: { host: '127.0.0.1:6161', ...more.headers },
  signal: new AbortController().signal,
  ...(more.method !== undefined && { method: more.method }),
});

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

const runaway: RunawayReport = {
  verdict: 'hot',
  at: '2026-01-01T00:00:00.000Z',
  pid: 42,
  forMs: 10_000,
  suspects: [],
  guards: [],
  leading: [],
  evidence: 'none',
  files: {},
  notes: [],
  ended: false,
};

const backend = (more: Partial<Backend> = {}): Backend => ({
  profile: () => Promise.resolve({ profile: sampleProfile(), takenAt: 0 }),
  snapshot: () => Promise.resolve(NO_SNAPSHOT),
  isTurning: () => Promise.resolve(true),
  hasMetrics: false,
  metrics: () => Promise.resolve(''),
  runaways: () => [],
  notices: () => [],
  ...more,
});

describe('the routes', () => {
  const answer = routes(backend(), open, 60);

  it.each<[string, string]>([
    ['/debug/pprof/', 'text/html; charset=utf-8'],
    ['/debug/pprof/profile?seconds=1', 'application/octet-stream'],
    ['/debug/pprof/cpuprofile?seconds=1', 'application/json; charset=utf-8'],
    ['/debug/pprof/top?seconds=1', 'text/plain; charset=utf-8'],
    ['/debug/pprof/flamegraph?seconds=1', 'text/html; charset=utf-8'],
    ['/debug/pprof/campaigns', 'application/octet-stream'],
    ['/debug/pprof/campaigns?debug=1', 'text/plain; charset=utf-8'],
    ['/debug/election', 'application/json; charset=utf-8'],
    ['/healthz', 'text/plain; charset=utf-8'],
  ])('%s is %s, with safe headers', async (url, type) => {
    const reply = await answer(request(url));
    expect(reply?.status).toBe(200);
    expect(reply?.headers).toMatchObject({
      'content-type': type,
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
      'cross-origin-resource-policy': 'same-origin',
    });
    expect(reply?.headers['content-security-policy']).toMatch(/^default-src 'none'.*frame-ancestors 'none'$/);
  });

  it('leave every other path to the service', async () => {
    for (const path of [
      '/',
      '/debug/pprof/cmdline',
      '/__proto__',
      '/constructor',
      '/debug/pprof/runaways/0/__proto__',
    ]) {
      expect(await answer(request(path)), path).toBeUndefined();
    }
  });

  it('link only to existing pages', async () => {
    const here = fileURLToPath(import.meta.url);
    const files = { report: here, top: '/nowhere/top.txt' };
    const evidence = { ...runaway, files };
    const shows = backend({
      runaways: () => [evidence],
      notices: () => [{ ...evidence, verdict: 'blocked' }],
    });
    for (const hasMetrics of [false, true]) {
      const answers = routes({ ...shows, hasMetrics }, open, 60);
      const page = String((await answers(request('/debug/pprof/')))?.body);
      const links = [...page.matchAll(/(?:href|action)="([^"]+)"/g)].map(([, link]) => String(link));
      expect(links).toContain('notices/0/report');
      expect(links.includes('../../metrics')).toBe(hasMetrics);
      for (const link of links) {
        const { pathname } = new URL(link, 'http://127.0.0.1/debug/pprof/');
        expect((await answers(request(`${pathname}?seconds=1`)))?.status, link).toBe(200);
      }
    }
  });

  it('report missing metrics and missing evidence', async () => {
    expect(await answer(request('/metrics'))).toMatchObject({
      status: 404,
      body: expect.stringContaining('metrics: ()') as string,
    });
    expect(await answer(request('/debug/pprof/runaways/7/top'))).toMatchObject({ status: 404 });
  });

  it('take one profile at a time, and say when to try again', async () => {
    let end = (): void => {};
    const taking = new Promise<void>((resolve) => (end = resolve));
    const busy = routes(
      backend({ profile: () => taking.then(() => ({ profile: sampleProfile(), takenAt: 0 })) }),
      open,
      60,
    );
    const first = busy(request('/debug/pprof/profile?seconds=7'));
    expect(await busy(request('/debug/pprof/top?seconds=1'))).toMatchObject({
      status: 429,
      headers: { 'retry-after': '7' },
    });
    expect(await busy(request('/debug/pprof/', {}))).toMatchObject({ status: 200 });
    end();
    expect((await first)?.status).toBe(200);
    expect((await busy(request('/debug/pprof/top?seconds=1')))?.status).toBe(200);
  });

  it('take no profile for HEAD', async () => {
    const profile = vi.fn<Backend['profile']>();
    const head = await routes(
      backend({ profile }),
      open,
      60,
    )(request('/debug/pprof/profile?seconds=1', { method: 'HEAD' }));
    expect(head?.status).toBe(200);
    expect(profile).not.toHaveBeenCalled();
  });

  it('allow a new profile after a failed one, and hide unknown errors', async () => {
    const fail = (error: Error): Backend => backend({ profile: () => Promise.reject(error) });
    const known = routes(fail(new DiagnosticsError('DIAGNOSTICS_UNAVAILABLE', 'no inspector')), open, 60);
    for (const _ of [1, 2])
      expect(await known(request('/debug/pprof/top'))).toMatchObject({ status: 503, body: 'no inspector\n' });
    const unknown = await routes(fail(new Error('/secret/path')), open, 60)(request('/debug/pprof/top'));
    expect(unknown).toMatchObject({ status: 500, body: expect.not.stringContaining('secret') as string });
  });

  it('answer 503 on /healthz while the main thread is unresponsive', async () => {
    const starved = routes(backend({ isTurning: () => Promise.resolve(false) }), open, 60);
    expect(await starved(request('/healthz'))).toMatchObject({
      status: 503,
      body: 'not ok\nthe main thread does not answer\n',
    });
  });
});

describe('/healthz and the pages show the health of every election', () => {
  const well = { healthy: true, leading: true, standing: true, working: true, reason: undefined };
  const view = (name: string, health: Partial<ElectionView['health']>): ElectionView => ({
    name,
    prefix: 'election/',
    clusterId: '14841639068965178418',
    state: 'waiting',
    health: { ...well, ...health },
    guard: { state: 'open', streak: 0, rounds: 1, heldForMs: 0 },
  });
  const withElections = (...elections: ElectionView[]): Backend =>
    backend({
      snapshot: () => Promise.resolve({ ...NO_SNAPSHOT, electionCount: elections.length, elections }),
    });
  const refused = view('b', { healthy: false, reason: 'etcd refuses us: permission denied' });
  const idle = view('c', { standing: false, reason: 'not standing: the value is too long' });
  const get = async (
    elections: readonly ElectionView[],
    url = '/healthz',
    headers = {},
    rules = open,
  ): Promise<{ status: number; body: string }> => {
    const reply = await routes(withElections(...elections), rules, 60)(request(url, { headers }));
    return { status: reply!.status, body: String(reply!.body) };
  };

  it('503 only if a restart can help, with the reason', async () => {
    expect(await get([view('a', {}), idle])).toEqual({
      status: 200,
      body: 'ok\nok  a: waiting\nok  c: waiting: not standing: the value is too long\n',
    });
    expect(await get([refused, view('a', {})])).toEqual({
      status: 503,
      body: 'not ok\nnot ok  b: waiting: etcd refuses us: permission denied\nok  a: waiting\n',
    });
  });

  it('as JSON, if the client prefers it', async () => {
    const { status, body } = await get([refused], '/healthz', { accept: 'application/json' });
    expect(status).toBe(503);
    expect(JSON.parse(body)).toMatchObject({
      healthy: false,
      turning: true,
      elections: [
        { name: 'b', prefix: 'election/', health: { reason: 'etcd refuses us: permission denied' } },
      ],
    });
  });

  it('without the token, only the verdict', async () => {
    expect(await get([refused], '/healthz', {}, { ...open, token: TOKEN } as never)).toEqual({
      status: 503,
      body: 'not ok\n',
    });
    const json = await get([refused], '/healthz', { accept: 'application/json' }, {
      ...open,
      token: TOKEN,
    } as never);
    expect(JSON.parse(json.body)).toEqual({ healthy: false, turning: true });
    const known = await get([refused], '/healthz', { authorization: `Bearer ${TOKEN}` }, {
      ...open,
      token: TOKEN,
    } as never);
    expect(known.body).toContain('etcd refuses us');
  });

  it('a name or a reason cannot add a line', async () => {
    const { body } = await get([view('a\nok  z', { reason: 'x\r\ny' })]);
    expect(body.trimEnd().split('\n')).toHaveLength(2);
  });

  it('the page names the reason, the prefix and the cluster', async () => {
    const { body } = await get([refused, view('a', {})], '/debug/pprof/');
    for (const wanted of [
      'unhealthy',
      '1 round<',
      'etcd refuses us: permission denied',
      'election/',
      '14841639068965178418',
    ])
      expect(body).toContain(wanted);
    const { body: json } = await get([refused], '/debug/election');
    expect(JSON.parse(json)).toMatchObject({
      elections: [{ health: { healthy: false }, clusterId: '14841639068965178418' }],
    });
  });
});

describe('the metrics', () => {
  const counts = { starved: 1, hot: 0, rounds: 2, blocked: 3, saturated: 0 };

  it('of the watchdog follow the metrics of the service', () => {
    const shown = withWatchdogMetrics('mine 1', false, counts);
    expect(shown).toMatch(/^mine 1\n# HELP/);
    expect(shown).toContain('etcd_election_watchdog_main_thread_answers 1\n');
    expect(shown).toContain('etcd_election_watchdog_runaways_total{verdict="rounds"} 2\n');
    expect(shown).toContain('etcd_election_watchdog_notices_total{verdict="blocked"} 3\n');
    expect(shown).not.toContain('runaways_total{verdict="blocked"}');
  });

  it('use OpenMetrics if the service does: its end mark, its names and its content type', async () => {
    const shown = withWatchdogMetrics('mine 1\n# EOF\n', false, counts);
    expect(shown).toMatch(/^mine 1\n# HELP[\s\S]*\n# EOF\n$/);
    expect(shown).toContain(
      '# TYPE etcd_election_watchdog_runaways counter\netcd_election_watchdog_runaways_total{',
    );
    const typeOf = async (body: string): Promise<string | undefined> => {
      const metrics = (): Promise<string> => Promise.resolve(body);
      return (await routes(backend({ hasMetrics: true, metrics }), open, 60)(request('/metrics')))?.headers[
        'content-type'
      ];
    };
    expect(await typeOf(shown)).toBe('application/openmetrics-text; version=1.0.0; charset=utf-8');
    const text = withWatchdogMetrics('# EOF\nmine 1\n', false, counts);
    expect(await typeOf(text)).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(text).toContain('# TYPE etcd_election_watchdog_runaways_total counter');
  });

  it('are only those of the watchdog while the main thread is unresponsive', () => {
    expect(withWatchdogMetrics(undefined, true, counts)).toMatch(
      /^# the main thread did not answer[\s\S]*answers 0\n/,
    );
  });
});
