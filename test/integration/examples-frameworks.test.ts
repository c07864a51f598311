import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { describe, expect } from 'vitest';
import { eventually } from '../support/eventually.ts';
import type { Program } from '../support/programs.ts';
import { SHORT_TTL_SECONDS, SOON_MS, test } from '../support/world.ts';
import { end, exampleRunner, START_MS } from '../support/example-runner.ts';

// The examples in folders, each run as a process on the real etcd.

const runner = exampleRunner([
  'cron/main',
  'cron/at-least-once',
  'http-fencing/resource',
  'http-fencing/leader',
  'express/main',
  'fastify/main',
  'nestjs/main',
  'migrate/before',
  'migrate/after',
  'metrics/main',
  'health/main',
]);

async function urlOf(program: Program): Promise<string> {
  return `http://127.0.0.1:${(await program.says(/^listening on .*"port":(\d+)/m, START_MS))[1]}`;
}

const FAIL_OVER_MS = SHORT_TTL_SECONDS * 1000 + SOON_MS;

describe('examples/', () => {
  test('cron: across a crash each moment runs at most once, or at least once', async ({ etcd, prefix }) => {
    const [atMostOnce, atLeastOnce] = await Promise.all(
      (['cron/main', 'cron/at-least-once'] as const).map((name) => momentsOf(name, etcd, prefix)),
    );
    expect(new Set(atMostOnce).size).toBe(atMostOnce!.length);
    const runs = new Set(atLeastOnce);
    expect(runs.size).toBe((Math.max(...runs) - Math.min(...runs)) / 500 + 1); // no moment is missing
  });

  test('cron: a moment 40 days ahead does not come at once', async () => {
    const { untilMoment } = await import('../../examples/cron/schedule.ts');
    const over = new AbortController();
    const warnings: Error[] = [];
    const onWarning = (warning: Error): void => void warnings.push(warning);
    process.on('warning', onWarning);
    const come = untilMoment(Date.now() + 40 * 24 * 3_600_000, {
      isCurrent: () => !over.signal.aborted,
      signal: over.signal,
    });
    await new Promise(setImmediate);
    over.abort();

    expect(await come).toBe(false);
    expect(warnings).toEqual([]); // a longer timer overflows, and Node.js warns
    process.off('warning', onWarning);
  });

  test('http-fencing: the resource refuses a leader of an earlier term', async ({ etcd, prefix }) => {
    const run = runner(etcd, prefix);
    const resource = run('http-fencing/resource');
    const url = await urlOf(resource);
    const put = (token: string): Promise<Response> =>
      fetch(url, { method: 'PUT', headers: { 'fencing-token': token }, body: 'x' });
    const leader = run('http-fencing/leader', {}, [url]);
    const token = BigInt((await leader.says(/^wrote under token (\d+)$/m, START_MS))[1]!);

    expect((await put(String(token - 1n))).status).toBe(412);
    expect((await fetch(url, { method: 'PUT', body: 'x' })).status).toBe(428);
    expect((await put(String(token + 1_000_000n))).status).toBe(204); // more than any token of a busy machine
    await leader.says(/^not written under token/m, SOON_MS); // now it has the token of an earlier term
    await end(leader, resource);
  });

  test.for(['express/main', 'fastify/main'] as const)(
    '%s: the leader serves, the others redirect to it',
    async (name, { etcd, prefix }) => {
      const run = runner(etcd, prefix);
      const first = run(name);
      const firstUrl = await urlOf(first);
      await eventually(
        async () => expect(await (await fetch(`${firstUrl}/leader`)).json()).toEqual({ leader: firstUrl }),
        { withinMs: SOON_MS },
      );
      const second = run(name);
      const secondUrl = await urlOf(second);
      await eventually(
        async () => expect(await (await fetch(`${secondUrl}/leader`)).json()).toEqual({ leader: firstUrl }),
        { withinMs: SOON_MS },
      );

      const job = await fetch(`${secondUrl}/jobs?x=1`, { method: 'POST', redirect: 'manual' });
      expect([job.status, job.headers.get('location')]).toEqual([307, `${firstUrl}/jobs?x=1`]);
      const followed = await fetch(`${secondUrl}/jobs`, { method: 'POST' });
      expect(followed.status).toBe(202);
      expect(await followed.json()).toEqual({ token: expect.stringMatching(/^\d+$/) as string });
      expect((await fetch(`${secondUrl}/healthz`)).status).toBe(200);

      await end(first);
      await eventually(
        async () => expect((await fetch(`${secondUrl}/jobs`, { method: 'POST' })).status).toBe(202),
        { withinMs: SOON_MS },
      );
      await end(second);
    },
  );

  test.for(['express/main', 'fastify/main'] as const)(
    '%s: a taken port ends the process before it campaigns',
    async (name, { etcd, prefix }) => {
      const other = createServer().listen(0, '127.0.0.1');
      await once(other, 'listening');
      try {
        const { port } = other.address() as AddressInfo;
        const program = runner(etcd, prefix)(name, { PORT: String(port) });
        await program.says(/EADDRINUSE/, START_MS, 'stderr');
        expect(await program.exit()).toBe(1);
        expect(program.stdout).not.toMatch(/listening|candidate\.entered/);
      } finally {
        other.close();
      }
    },
  );

  test('nestjs: campaigns when the application starts, resigns when it stops', async ({ etcd, prefix }) => {
    const run = runner(etcd, prefix);
    const first = run('nestjs/main', { ANNOUNCE: 'first' });
    await first.says(/^leading: true$/m, START_MS);
    const second = run('nestjs/main', { ANNOUNCE: 'second' });
    await second.says(/^following first$/m, START_MS);
    await end(first);
    await second.says(/^leading: true$/m, SOON_MS);
    await end(second);
  });

  test('migrate: replicas of both kinds share the queue', async ({ etcd, prefix }) => {
    const run = runner(etcd, prefix);
    const before = run('migrate/before');
    await before.says(/^the old replica leads$/m, START_MS);
    const after = run('migrate/after');
    await after.says(/^after follows before$/m, START_MS);
    expect(after.stdout).not.toContain('after leads');
    await end(before);
    await after.says(/^after leads$/m, SOON_MS);
    const late = run('migrate/before');
    await late.says(/^the old replica campaigns$/m, START_MS);
    await after.says(/^after leads$/m, SOON_MS);
    expect(late.stdout).not.toContain('the old replica leads');
    await end(after);
    await late.says(/^the old replica leads$/m, SOON_MS);
    late.child.kill('SIGTERM');
    await late.over();
  });

  test('metrics: /metrics shows every election', async ({ etcd }) => {
    const program = runner(etcd, '')('metrics/main');
    const url = await urlOf(program);
    await eventually(
      async () => {
        const text = await (await fetch(`${url}/metrics`)).text();
        expect(text).toContain('etcd_election_is_leader{election="shard-1"} 1');
        expect(text).toContain('etcd_election_is_leader{election="shard-2"} 1');
        expect(text).toContain('process_cpu_seconds_total');
      },
      { withinMs: SOON_MS },
    );
    await end(program);
  });

  test('health: unhealthy only when the work is stuck', async ({ etcd, prefix }) => {
    const program = runner(etcd, prefix)('health/main');
    const url = await urlOf(program);
    const status = async (path: string): Promise<number> => (await fetch(url + path)).status;
    await eventually(async () => expect(await status('/leading')).toBe(200), { withinMs: SOON_MS });
    expect([await status('/healthz'), await status('/readyz'), await status('/')]).toEqual([200, 200, 404]);

    program.child.kill('SIGUSR2');

    // First the work makes no progress, so the term ends. Then the work has its time to stop. Then it is stuck.
    const stuck = {
      healthy: false,
      leading: false,
      reason: expect.stringContaining('after its term ended') as string,
    };
    await eventually(
      async () => {
        const answer = await fetch(`${url}/healthz`);
        expect((await answer.json()) as object).toMatchObject(stuck);
        expect(answer.status).toBe(503);
      },
      { withinMs: SOON_MS + 2_000 },
    );
    program.child.kill('SIGKILL'); // as a supervisor does
    await program.over();
  });
});

/** The moments that two replicas ran, one each half second. The first leader is killed. */
async function momentsOf(
  name: 'cron/main' | 'cron/at-least-once',
  etcd: { endpoints: readonly string[] },
  prefix: string,
): Promise<number[]> {
  const env = {
    EVERY_SECONDS: '0.5',
    TTL_SECONDS: String(SHORT_TTL_SECONDS),
    ELECTION: `${prefix}${name}`.replaceAll('/', '-'),
  };
  const replicas = [0, 1].map(() => runner(etcd, prefix)(name, env));
  const leader = await eventually(
    () => {
      const found = replicas.find(({ stdout }) => (stdout.match(/^ran /gm) ?? []).length >= 3);
      if (found === undefined) throw new Error(replicas.map(({ said }) => said).join('\n'));
      return found;
    },
    { withinMs: START_MS },
  );
  leader.child.kill('SIGKILL');
  const heir = replicas.find((replica) => replica !== leader)!;
  await heir.says(/^ran .*\nran .*$/m, FAIL_OVER_MS);
  await end(heir);
  return replicas.flatMap(({ stdout }) =>
    [...stdout.matchAll(/^ran (\S+)/gm)].map(([, moment]) => Date.parse(moment!)),
  );
}
