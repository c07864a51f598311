import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { Profile } from 'pprof-format';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RunawayChild, buildDiagnostics } from '../../support/diagnostics-child.ts';
import { within } from '../../support/eventually.ts';

const run = promisify(execFile);
const TOKEN = 'correct-horse-battery';
const watch = { stallMs: 500, pollMs: 250, profileMs: 500, fake: true };

let module: string;
beforeAll(async () => {
  module = await buildDiagnostics();
});

interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: Buffer;
  tookMs: number;
}

/** Not `fetch`, which sets its own Host header and resolves `..` in a path. */
function call(
  base: string,
  path: string,
  options: { method?: string; headers?: Record<string, string>; signal?: AbortSignal } = {},
): Promise<Answer> {
  const { hostname, port } = new URL(base);
  const began = performance.now();
  return new Promise((resolve, reject) => {
    const sent = request({ hostname, port, path, agent: false, timeout: 20_000, ...options }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => {
        const { statusCode: status = 0, headers } = response;
        resolve({ status, headers, body: Buffer.concat(chunks), tookMs: performance.now() - began });
      });
    });
    sent.on('timeout', () => sent.destroy(new Error(`no answer from ${path}`)));
    sent.on('error', reject);
    sent.end();
  });
}

describe('G7: it answers while the main thread spins', () => {
  let child: RunawayChild;
  let base: string;
  beforeAll(async () => {
    child = await RunawayChild.start({
      module,
      kind: 'sync',
      options: { ...watch, serve: { metrics: true } },
    });
    base = await child.said((each) => each.url);
    expect((await call(base, '/healthz')).status).toBe(200);
    await child.begin();
    await child.headline(15_000);
  });
  afterAll(() => child[Symbol.asyncDispose]());

  it('/healthz reports the runaway at once', async () => {
    // A busy machine delays some answers, but not each of them.
    const answers: Answer[] = [];
    for (let times = 0; times < 5; times++) answers.push(await call(base, '/healthz'));
    for (const { status } of answers) expect(status).toBe(503);
    expect(Math.min(...answers.map(({ tookMs }) => tookMs))).toBeLessThan(watch.stallMs);
  });

  it('the profile has the guilty function in the pprof file', async () => {
    const { status, body, headers } = await call(base, '/debug/pprof/profile?seconds=0.5');
    expect(status).toBe(200);
    expect(headers['content-disposition']).toBe('attachment; filename="profile"');
    expect(Profile.decode(gunzipSync(body)).stringTable.strings).toContain('guiltySync');
  });

  it('the profile comes with top, flame graph and .cpuprofile', async () => {
    for (const path of ['top', 'flamegraph', 'cpuprofile']) {
      const { status, body } = await call(base, `/debug/pprof/${path}?seconds=0.3`);
      expect(status, path).toBe(200);
      expect(body.toString(), path).toContain('guiltySync');
    }
  });

  it('shows the page, the elections as last reported, the call sites and the evidence', async () => {
    const page = (await call(base, '/debug/pprof/')).body.toString();
    expect(page).toContain('main thread does not answer');
    expect(page).toContain('sync-master');
    expect(page).toContain('href="runaways/0/flamegraph"');
    const state = JSON.parse((await call(base, '/debug/election')).body.toString()) as Record<
      string,
      unknown
    >;
    expect(state).toMatchObject({
      turning: false,
      electionCount: 1,
      elections: [{ name: 'sync-master', term: { fencingToken: '7' } }],
    });
    expect((await call(base, '/debug/pprof/campaigns?debug=1')).body.toString()).toContain(
      'newLeasesLock /srv/sync.mjs:7',
    );
    for (const kind of ['flamegraph', 'top', 'report', 'profile', 'cpuprofile', 'campaigns']) {
      expect((await call(base, `/debug/pprof/runaways/0/${kind}`)).status, kind).toBe(200);
    }
  });

  it('the metrics count the runaway, and omit those of the spinning thread', async () => {
    const { status, body } = await call(base, '/metrics');
    expect(status).toBe(200);
    expect(body.toString()).toContain('etcd_election_watchdog_main_thread_answers 0');
    expect(body.toString()).toContain('etcd_election_watchdog_runaways_total{verdict="starved"} 1');
    expect(body.toString()).not.toContain('mine 1');
  });

  it.each<[string, number, { method?: string; headers?: Record<string, string> }]>([
    ['/debug/pprof/profile?seconds=abc', 400, {}],
    ['/debug/pprof/profile?seconds=1e9', 400, {}],
    ['/debug/pprof/profile?seconds=-1', 400, {}],
    ['/debug/pprof/../../etc/passwd', 400, {}],
    ['/debug/pprof/%2e%2e/%2e%2e/etc/passwd', 400, {}],
    ['/debug/pprof/', 403, { headers: { host: 'evil.example' } }],
    ['/debug/pprof/', 405, { method: 'POST' }],
    ['/debug/pprof/cmdline', 404, {}],
  ])('%s is refused with %i %o', async (path, status, options) => {
    const answer = await call(base, path, options);
    expect(answer.status).toBe(status);
    expect(answer.body.toString().trim().length, 'a clear text').toBeGreaterThan(10);
    expect(answer.headers['x-content-type-options']).toBe('nosniff');
  });

  it('refuses a second profile at once, and allows one again after the client disconnects', async () => {
    const gone = new AbortController();
    const first = call(base, '/debug/pprof/profile?seconds=30', { signal: gone.signal });
    await call(base, '/healthz'); // a round trip: the first one has arrived, so the second cannot overtake it
    const second = async (): Promise<Answer> => call(base, '/debug/pprof/top?seconds=0.2');
    await expect.poll(async () => (await second()).status, { timeout: 5_000 }).toBe(429);
    expect(Number((await second()).headers['retry-after'])).toBeGreaterThan(20);
    gone.abort();
    await expect(first).rejects.toThrow();
    await expect.poll(async () => (await second()).status, { timeout: 10_000 }).toBe(200);
  });
});

describe('while the main thread is responsive', () => {
  it("shows the service's metrics and the present state", async () => {
    await using child = await RunawayChild.start({
      module,
      kind: 'idle',
      options: { ...watch, serve: { metrics: true } },
    });
    const base = await child.said((each) => each.url);
    const { body } = await call(base, '/metrics');
    expect(body.toString()).toMatch(/^mine 1\n/);
    expect(body.toString()).toContain('etcd_election_watchdog_main_thread_answers 1');
    expect((await call(base, '/debug/pprof/')).body.toString()).toContain('main thread answers');
    expect(await call(base, '/')).toMatchObject({ status: 301, headers: { location: 'debug/pprof/' } });
  });

  it('requires the token if one is set, except for the health', async () => {
    const serve = { token: TOKEN, host: '0.0.0.0' };
    await using child = await RunawayChild.start({ module, kind: 'idle', options: { ...watch, serve } });
    const base = (await child.said((each) => each.url)).replace('0.0.0.0', '127.0.0.1');
    expect((await call(base, '/healthz')).status).toBe(200);
    const refused = await call(base, '/debug/election');
    expect(refused).toMatchObject({
      status: 401,
      headers: { 'www-authenticate': expect.stringContaining('Basic') as string },
    });
    const authorization = `Basic ${btoa(`x:${TOKEN}`)}`;
    expect((await call(base, '/debug/election', { headers: { authorization } })).status).toBe(200);
  });
});

describe('connections that send nothing', () => {
  it('do not block a health probe, and are closed within 5 s', async () => {
    await using child = await RunawayChild.start({ module, kind: 'idle', options: { ...watch, serve: {} } });
    const base = await child.said((each) => each.url);
    const { hostname, port } = new URL(base);
    const silent: Socket[] = [];
    try {
      for (let count = 0; count < 100; count++) {
        const socket = connect(Number(port), hostname);
        socket.on('error', () => undefined); // the server may reset it
        silent.push(socket);
        await once(socket, 'connect');
      }
      const health = await call(base, '/healthz');
      expect(health.status).toBe(200);
      expect(health.tookMs).toBeLessThan(2_000);
      const closed = async (socket: Socket): Promise<void> => {
        socket.resume(); // unread data would delay the end event
        if (!socket.closed) await once(socket, 'close');
      };
      // Node's own limit is a minute. A busy machine may need some seconds more than ours.
      await within(5_000 + 5_000, 'the end of all connections', Promise.all(silent.map(closed)));
    } finally {
      for (const socket of silent) socket.destroy();
    }
  });
});

describe('the handler', () => {
  it('mounts in node:http, in Express and in Fastify', async () => {
    const script = fileURLToPath(new URL('../../support/mounted-handlers.mjs', import.meta.url));
    const service = spawn(process.execPath, [script], {
      env: { ...process.env, DIAGNOSTICS: module },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      const [line] = (await once(createInterface(service.stdout), 'line')) as [string];
      for (const [name, address] of Object.entries(JSON.parse(line) as Record<string, string>)) {
        const { pathname } = new URL(address);
        const base = pathname === '/' ? '' : pathname;
        expect((await call(address, `${base}/debug/pprof`)).headers['location'], name).toBe('pprof/');
        expect((await call(address, `${base}/debug/pprof/`)).status, name).toBe(200);
        expect((await call(address, `${base}/debug/pprof/top?seconds=0.2`)).body.toString(), name).toContain(
          'flat%',
        );
        expect((await call(address, `${base}/metrics`)).body.toString(), name).toBe('mine 1\n');
        expect((await call(address, `${base}/debug/pprof/`, { method: 'POST' })).status, name).toBe(405);
        expect((await call(address, `${base}/nothing`)).status, name).toBe(404);
        if (name === 'express') expect((await call(address, `${base}/mine`)).body.toString()).toBe('mine');
      }
    } finally {
      service.kill('SIGKILL');
      await once(service, 'exit');
    }
  });
});

describe('go tool pprof', async () => {
  const go = await run('go', ['version']).then(
    () => 'go',
    () => undefined,
  );

  it.skipIf(go === undefined)(
    'reads our file and agrees with our top (SKIPPED without Go: apt-get install golang-go)',
    async () => {
      await using child = await RunawayChild.start({
        module,
        kind: 'asyncIo',
        options: { ...watch, hotMs: 500 },
      });
      await child.begin();
      const [, directory = ''] = /evidence in ([^;\n]+)/.exec(await child.headline(15_000)) ?? [];
      const file = join(directory, 'cpu.pb.gz');
      const { stdout, stderr } = await run(
        'go',
        ['tool', 'pprof', '-top', '-unit=ns', '-nodefraction=0', file],
        {
          env: { ...process.env, PPROF_TMPDIR: directory },
        },
      );
      expect(stderr).toBe('');
      const { toTop, parseCpuProfile } = (await import(
        module
      )) as typeof import('../../../src/diagnostics/index.ts');
      const ours = sharesOf(
        toTop(parseCpuProfile(readFileSync(join(directory, 'cpu.cpuprofile'), 'utf8')), { rows: 1000 }),
      );
      const theirs = sharesOf(stdout);
      expect(theirs.size).toBeGreaterThanOrEqual(3);
      for (const [name, share] of theirs) expect(ours.get(name), name).toBeCloseTo(share, 1);
    },
  );
});

/**
 * Maps each function name to its share of `flat`, in percent, if that is large enough. Go merges functions of
 * one name.
 */
function sharesOf(top: string): Map<string, number> {
  const shares = new Map<string, number>();
  for (const line of top.split('\n')) {
    const [, flat, name = ''] = /^\s*\S+\s+(\S+)%\s+\S+%\s+\S+\s+\S+%\s+(\(.*?\)|\S+)/.exec(line) ?? [];
    if (flat !== undefined) shares.set(name, (shares.get(name) ?? 0) + Number(flat));
  }
  return new Map([...shares].filter(([, share]) => share >= 0.2));
}
