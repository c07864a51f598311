/** A counter in PostgreSQL that only the leader increments. PGHOST, PGUSER and so on set the server, as for psql. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Etcd3 } from 'etcd3';
import pg from 'pg';
import { Election } from 'etcd-election';
import { fencedTransaction, schema } from './fenced.ts';

const endpoints = process.env['ETCD_ENDPOINTS'];
if (!endpoints) throw new Error('set ETCD_ENDPOINTS, for example to http://127.0.0.1:2379');
const client = new Etcd3({ hosts: endpoints.split(',') });
const pool = new pg.Pool();
await pool.query(`${schema}; CREATE TABLE IF NOT EXISTS counter (id int PRIMARY KEY, value bigint NOT NULL)`);

const election = new Election(client, process.env['ELECTION'] ?? 'counter', {
  ttlSeconds: Number(process.env['TTL_SECONDS'] ?? 10),
  onLeader: async (term) => {
    while (term.isCurrent()) {
      const value = await fencedTransaction(pool, 'counter', term, async (connection) => {
        const { rows } = await connection.query<{ value: string }>(
          'INSERT INTO counter VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET value = counter.value + 1 RETURNING value',
        );
        return rows[0]?.value;
      });
      console.log(`counted ${value} under token ${term.fencingToken}`);
      await sleep(100, undefined, { signal: term.signal }).catch(() => undefined);
    }
  },
});

async function shutDown(): Promise<void> {
  await election.close();
  client.close();
  await pool.end();
}
let stopping: Promise<void> | undefined;
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => void (stopping ??= shutDown()));
void election.campaign();
