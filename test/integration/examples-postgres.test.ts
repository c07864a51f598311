import { execFile, spawn } from 'node:child_process';
import { accessSync, chownSync, constants, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import type { Pool } from 'pg';
import { describe, expect } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { SOON_MS, test } from '../support/world.ts';
import { end, exampleRunner, START_MS } from '../support/example-runner.ts';

const runner = exampleRunner(['postgres/main']);

test('postgres: a connection whose ROLLBACK fails does not return to the pool', async () => {
  const { fencedTransaction } = await import('../../examples/postgres/fenced.ts');
  const timeout = new Error('Query read timeout');
  const released: unknown[] = [];
  const connection = {
    query: (sql: string) =>
      sql === 'ROLLBACK' ? Promise.reject(timeout) : Promise.resolve({ rowCount: 1, rows: [] }),
    on: () => undefined,
    off: () => undefined,
    release: (error: unknown) => void released.push(error),
  };
  const pool = { connect: () => Promise.resolve(connection) } as unknown as Pool;
  const failure = new Error('the work failed');

  const attempt = fencedTransaction(pool, 'counter', { fencingToken: 1n }, () => Promise.reject(failure));

  await expect(attempt).rejects.toBe(failure);
  expect(released).toEqual([timeout]);
});

const postgres = findPostgres();

describe.skipIf(postgres === undefined)(
  'examples/postgres (skipped where there is no PostgreSQL: Debian has it in the package postgresql)',
  () => {
    test('a leader of an earlier term cannot write', async ({ etcd, prefix }) => {
      await using server = await startPostgres(postgres!);
      const { env } = server;
      const program = runner(etcd, prefix)('postgres/main', env);
      const [, , token] = await program.says(/^counted (\d+) under token (\d+)$/m, START_MS);
      const { default: pg } = await import('pg');
      const { fencedTransaction, FencedOffError } = await import('../../examples/postgres/fenced.ts');
      const pool = new pg.Pool({
        host: env['PGHOST']!,
        port: Number(env['PGPORT']),
        user: env['PGUSER']!,
        database: 'postgres',
      });
      const write = (fencingToken: bigint): Promise<unknown> =>
        fencedTransaction(pool, 'counter', { fencingToken }, (connection) =>
          connection.query('UPDATE counter SET value = -1'),
        );

      await expect(write(BigInt(token!) - 1n)).rejects.toThrow(FencedOffError);
      const { rows } = await pool.query<{ value: string }>('SELECT value FROM counter');
      expect(Number(rows[0]!.value)).toBeGreaterThan(0);
      await program.says(/^counted \d+[^]*^counted \d+/m, SOON_MS); // it continues
      await expect(write(BigInt(token!) + 1n)).resolves.toBeDefined();
      await program.says(/FencedOffError|term after/, SOON_MS); // now it has the token of an earlier term
      await pool.end();
      await end(program);
    });
  },
);

/** The folder of `initdb` and `postgres`. */
function findPostgres(): string | undefined {
  const base = '/usr/lib/postgresql';
  let versions: string[] = [];
  try {
    versions = readdirSync(base).map((version) => join(base, version, 'bin'));
  } catch {
    // Debian has it elsewhere
  }
  return [...versions, ...(process.env['PATH'] ?? '').split(delimiter)].find((folder) => {
    try {
      for (const program of ['initdb', 'postgres']) accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Our own server on a socket in a temporary folder: no port, no network. */
async function startPostgres(bin: string): Promise<AsyncDisposable & { env: NodeJS.ProcessEnv }> {
  const folder = mkdtempSync(join(tmpdir(), 'etcd-election-pg-'));
  // PostgreSQL refuses to run as root, so it runs as the user nobody.
  const nobody = { uid: 65_534, gid: 65_534 };
  const isRoot = userInfo().uid === 0;
  const who = isRoot ? nobody : {};
  if (isRoot) chownSync(folder, nobody.uid, nobody.gid);
  const data = join(folder, 'data');
  await promisify(execFile)(join(bin, 'initdb'), ['-D', data, '-U', 'test', '-A', 'trust', '--no-sync'], {
    ...who,
    cwd: folder,
  });
  const server = spawn(
    join(bin, 'postgres'),
    ['-D', data, '-k', folder, '-c', 'listen_addresses=', '-c', 'fsync=off'],
    {
      ...who,
      cwd: folder,
      stdio: 'ignore',
    },
  );
  const stop = async (): Promise<void> => {
    const gone = new Promise((resolve) => server.once('exit', resolve));
    server.kill('SIGQUIT'); // immediate shutdown
    await gone;
    rmSync(folder, { recursive: true, force: true });
  };
  const env = { PGHOST: folder, PGPORT: '5432', PGUSER: 'test', PGDATABASE: 'postgres' };
  const { default: pg } = await import('pg');
  await eventually(
    async () => {
      const client = new pg.Client({ host: folder, port: 5432, user: 'test', database: 'postgres' });
      await client.connect();
      await client.end();
    },
    { withinMs: START_MS },
  );
  return { env, [Symbol.asyncDispose]: stop };
}
