import { beforeAll, describe, expect } from 'vitest';
import { Etcd3 } from 'etcd3';
import { compile, Program } from '../support/programs.ts';
import { SOON_MS, test } from '../support/world.ts';

// The shapes of docs/guide.md, each run as two processes on the real etcd.

const START_MS = 20_000;
const names = [
  'start-stop',
  'loop',
  'interval',
  'cron',
  'queue-consumer',
  'etcd-queue',
  'child-process',
  'server',
  'suite',
] as const;
type Name = (typeof names)[number];

let files: Record<Name, string>;
beforeAll(async () => {
  const compiled = await compile(names.map((name) => `examples/shapes/${name}.ts`));
  files = Object.fromEntries(names.map((name, index) => [name, compiled[index]!])) as Record<Name, string>;
});

/** Examples use ordinary names; here each test has its own. */
const runner =
  (
    etcd: { endpoints: readonly string[] },
    prefix: string,
  ): ((name: Name, env?: NodeJS.ProcessEnv) => Program) =>
  (name, env) =>
    new Program(files[name], [], {
      env: { ETCD_ENDPOINTS: etcd.endpoints.join(), ELECTION: prefix.replace('/', ''), PORT: '0', ...env },
    });

/** Its lines, without those of the library. */
const said = ({ stdout }: Program): string[] =>
  stdout.split('\n').filter((line) => line !== '' && !line.startsWith('{"level"'));

async function end(program: Program): Promise<void> {
  program.child.kill('SIGTERM');
  expect(await program.exit(), program.said).toBe(0);
}

describe('examples/shapes/', () => {
  test('start-stop: one stops before the next starts', async ({ etcd, prefix }) => {
    const run = runner(etcd, prefix);
    const first = run('start-stop');
    await first.says(/^started$/m, START_MS);
    const second = run('start-stop');
    await second.says(/"event":"candidate.entered"/, START_MS);
    let stoppedFirst: boolean | undefined;
    second.child.stdout!.on('data', () => {
      if (/^started$/m.test(second.stdout)) stoppedFirst ??= /^stopped$/m.test(first.stdout);
    });

    await end(first);

    await second.says(/^started$/m, SOON_MS);
    expect(said(first)).toEqual(['started', 'stopped']);
    expect(stoppedFirst).toBe(true);
    await end(second);
  });

  test('loop: ends with the term', async ({ etcd, prefix }) => {
    const run = runner(etcd, prefix);
    const first = run('loop');
    await first.says(/^working$/m, START_MS);
    await end(first);
    expect(said(first)).toEqual(['working', 'done']);
  });

  test('interval: never runs twice at a time, and ends with the term', async ({ etcd, prefix }) => {
    const run = runner(etcd, prefix);
    const first = run('interval');
    await first.says(/^refreshed\nrefreshed\n/m, START_MS);
    await end(first);
    expect(said(first)).not.toContain('two runs overlap');
    expect(said(first).at(-1)).toBe('still running: 0');
  });

  test('cron: one of three hosts that start together runs the job, and a late one skips it', async ({
    etcd,
    prefix,
  }) => {
    const run = runner(etcd, prefix);
    const hosts = [run('cron'), run('cron'), run('cron')];
    for (const host of hosts) expect(await host.exit(), host.said).toBe(0);
    expect(hosts.flatMap(said).sort()).toEqual([
      'report written',
      expect.stringMatching(/^skipped: /),
      expect.stringMatching(/^skipped: /),
    ]);
    const late = run('cron'); // the election is free again
    expect(await late.exit(), late.said).toBe(0);
    expect(said(late)).toEqual([expect.stringMatching(/^skipped: [\d-]+ is claimed already$/)]);
  });

  test('cron: a host that is late claims the scheduled day, not the day of its run', async ({
    etcd,
    prefix,
  }) => {
    const inTwoHours = new Date(Date.now() + 7_200_000); // so the last scheduled time is 22 hours ago
    const host = runner(etcd, prefix)('cron', { AT_UTC: inTwoHours.toISOString().slice(11, 16) });
    expect(await host.exit(), host.said).toBe(0);

    const client = new Etcd3({ hosts: etcd.endpoints });
    const claims = await client
      .getAll()
      .prefix(`${prefix.replace('/', '')}-runs/`)
      .keys();
    client.close();
    const day = new Date(inTwoHours.getTime() - 24 * 3_600_000).toISOString().slice(0, 10);
    expect(claims).toEqual([`${prefix.replace('/', '')}-runs/${day}`]);
  });

  test('queue-consumer: taken messages are acknowledged, and the next leader continues', async ({
    etcd,
    prefix,
  }) => {
    const run = runner(etcd, prefix);
    const first = run('queue-consumer');
    await first.says(/^acknowledged 3$/m, START_MS);
    const second = run('queue-consumer');
    await second.says(/"event":"candidate.entered"/, START_MS);
    await end(first);
    await second.says(/^acknowledged 1$/m, SOON_MS);
    await end(second);
  });

  test('etcd-queue: each job is paid once and recorded, also across a hand-over', async ({
    etcd,
    prefix,
  }) => {
    const client = new Etcd3({ hosts: etcd.endpoints });
    const of = (kind: string): string => `${prefix.replace('/', '')}-${kind}/`;
    for (const id of ['1', '2', '3', '4']) await client.put(of('jobs') + id).value('');
    const run = runner(etcd, prefix);
    const first = run('etcd-queue');
    await first.says(/^paid 1 /m, START_MS);
    await end(first);
    const second = run('etcd-queue');
    await second.says(/^paid 4 /m, START_MS);
    await end(second);
    const paid = [first, second].flatMap(said).map((line) => line.split(' ')[1]);
    const keys = await Promise.all(
      ['jobs', 'claims', 'done'].map((kind) => client.getAll().prefix(of(kind)).keys()),
    );
    client.close();
    expect(paid).toEqual(['1', '2', '3', '4']);
    expect(keys.map(({ length }) => length)).toEqual([0, 0, 4]);
  });

  test('child-process: ends before the key is deleted', async ({ etcd, prefix }) => {
    const run = runner(etcd, prefix);
    const first = run('child-process');
    await first.says(/^child works$/m, START_MS);
    await end(first);
    expect(said(first)).toEqual(['child works', 'child stopped', 'closed']);
  });

  test('server: both serve, one leads, and it ends although a connection is open', async ({
    etcd,
    prefix,
  }) => {
    const run = runner(etcd, prefix);
    const replicas = [run('server'), run('server')];
    const urls = await Promise.all(
      replicas.map(async (replica) => {
        const [, port] = await replica.says(/^listening on .*"port":(\d+)/m, START_MS);
        return `http://127.0.0.1:${port}`;
      }),
    );
    for (const url of urls)
      for (const path of ['/livez', '/readyz'])
        expect((await fetch(url + path)).status, url + path).toBe(200);
    await expect
      .poll(async () => {
        const statuses = await Promise.all(
          urls.map(async (url) => (await (await fetch(url)).json()) as { state: string }),
        );
        return statuses.map(({ state }) => state).sort();
      })
      .toEqual(['leading', 'waiting']);
    for (const replica of replicas) await end(replica);
  });

  test('suite: passes', async ({ etcd, prefix }) => {
    const program = runner(etcd, prefix)('suite');
    expect(await program.exit(), program.said).toBe(0);
    expect(program.stdout).toMatch(/^# pass 2$/m);
  });

  test('without ETCD_ENDPOINTS: reports it, and uses no default', async () => {
    const program = new Program(files.loop, [], { env: { ETCD_ENDPOINTS: '' } });
    expect(await program.exit()).toBe(1);
    expect(program.stderr).toContain('set ETCD_ENDPOINTS, for example to http://127.0.0.1:2379');
  });
});
