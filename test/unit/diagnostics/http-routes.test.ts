import { fileURLToPath } from 'node:url';
import { describe, expect, it, vi } from 'vitest';
import { DiagnosticsError } from '../../../src/diagnostics/errors.ts';
import { type Backend, routes } from '../../../src/diagnostics/http/routes.ts';
import { withWatchdogMetrics } from '../../../src/diagnostics/watchdog/watchdog-metrics.ts';
import { sampleProfile } from '../../support/sample-profile.ts';
import { backend, open, request, runaway } from './http-backend.ts';

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
