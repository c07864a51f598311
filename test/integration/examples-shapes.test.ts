import { beforeAll, describe, expect } from 'vitest';
import { compile, Program } from '../support/programs.ts';
import { SOON_MS, test } from '../support/world.ts';

// The shapes of docs/guide.md, each run as a process on the real etcd, as two replicas.

const START_MS = 20_000;
const names = [
  'start-stop',
  'loop',
  'interval',
  'cron',
  'queue-consumer',
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

/** Examples use names as people would; here each test's own. */
const runner =
  (etcd: { endpoints: readonly string[] }, prefix: string): ((name: Name) => Program) =>
  (name) =>
    new Program(files[name], [], {
      env: { ETCD_ENDPOINTS: etcd.endpoints.join(), ELECTION: prefix.replace('/', ''), PORT: '0' },
    });

/** Its lines, without those of the library. */
const said = ({ stdout }: Program): string[] =>
  stdout.split('\n').filter((line) => line !== '' && !line.startsWith('{"level"'));

async function end(program: Program): Promise<void> {
  program.child.kill('SIGTERM');
  expect(await program.exit(), program.said).toBe(0);
}

describe('examples/shapes/', () => {
  test('start-stop: stopped before the next starts', async ({ etcd, prefix }) => {
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

  test('interval: never beside itself, and over with the term', async ({ etcd, prefix }) => {
    const run = runner(etcd, prefix);
    const first = run('interval');
    await first.says(/^refreshed\nrefreshed\n/m, START_MS);
    await end(first);
    expect(said(first)).not.toContain('beside itself');
    expect(said(first).at(-1)).toBe('still running: 0');
  });

  test('cron: of three hosts that start at once, one runs the job', async ({ etcd, prefix }) => {
    const run = runner(etcd, prefix);
    const hosts = [run('cron'), run('cron'), run('cron')];
    for (const host of hosts) expect(await host.exit(), host.said).toBe(0);
    expect(hosts.flatMap(said).sort()).toEqual([
      'report written',
      'skipped: another host has it',
      'skipped: another host has it',
    ]);
  });

  test('queue-consumer: what was taken is acknowledged, and the next goes on', async ({ etcd, prefix }) => {
    const run = runner(etcd, prefix);
    const first = run('queue-consumer');
    await first.says(/^acknowledged 3$/m, START_MS);
    const second = run('queue-consumer');
    await second.says(/"event":"candidate.entered"/, START_MS);
    await end(first);
    await second.says(/^acknowledged 1$/m, SOON_MS);
    await end(second);
  });

  test('child-process: stopped before the key goes', async ({ etcd, prefix }) => {
    const run = runner(etcd, prefix);
    const first = run('child-process');
    await first.says(/^child works$/m, START_MS);
    await end(first);
    expect(said(first)).toEqual(['child works', 'child stopped', 'closed']);
  });

  test('server: both serve, one leads, and it ends with a connection open', async ({ etcd, prefix }) => {
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

  test('without ETCD_ENDPOINTS: says so, and does not fall back', async () => {
    const program = new Program(files.loop, [], { env: { ETCD_ENDPOINTS: '' } });
    expect(await program.exit()).toBe(1);
    expect(program.stderr).toContain('set ETCD_ENDPOINTS, for example to http://127.0.0.1:2379');
  });
});
