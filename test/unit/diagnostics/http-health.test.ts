import { describe, expect, it } from 'vitest';
import { type ElectionView, NO_SNAPSHOT } from '../../../src/diagnostics/elections.ts';
import { type Backend, routes } from '../../../src/diagnostics/http/routes.ts';
import { backend, open, request, TOKEN } from './http-backend.ts';

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
