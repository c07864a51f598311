/** A hundred shards, each with its own leader. They share one lease, one keep-alive and one watch stream. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Etcd3 } from 'etcd3';
import { Election, type Term } from 'etcd-election';
import pino from 'pino';

const endpoints = process.env['ETCD_ENDPOINTS'];
if (!endpoints) throw new Error('set ETCD_ENDPOINTS, for example to http://127.0.0.1:2379');
const client = new Etcd3({ hosts: endpoints.split(',') });
const leases = new Map<number, string>();

// #region many
const logger = pino({ level: 'warn' });
const shards = Array.from(
  { length: 100 },
  (_, shard) => new Election(client, `shard-${shard}`, { logger, onLeader: (term) => work(shard, term) }),
);
for (const election of shards) void election.campaign(); // not awaited, because campaign() resolves only when this replica leads

async function work(shard: number, term: Term): Promise<void> {
  leases.set(shard, term.leaseId);
  while (term.isCurrent()) await sleep(100); // your work on this shard
  leases.delete(shard);
}
// #endregion many

while (leases.size < shards.length) await sleep(10);
console.log(`leading ${leases.size} shards with ${new Set(leases.values()).size} lease`);

await Promise.all(shards.map((shard) => shard.close()));
client.close();
