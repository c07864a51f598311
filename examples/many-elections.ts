/** A hundred shards, each with a leader of its own: still one lease, one keep-alive and one watch stream. */
import { Etcd3 } from 'etcd3';
import { Election } from 'etcd-election';
import pino from 'pino';

const endpoints = process.env['ETCD_ENDPOINTS'];
if (!endpoints) throw new Error('set ETCD_ENDPOINTS, for example to http://127.0.0.1:2379');
const client = new Etcd3({ hosts: endpoints.split(',') });

// #region many
const logger = pino({ level: 'warn' });
const shards = Array.from(
  { length: 100 },
  (_, number) => new Election(client, `shard-${number}`, { logger }),
);
const terms = await Promise.all(shards.map((shard) => shard.campaign()));
// #endregion many

const leases = new Set(terms.map(({ leaseId }) => leaseId));
console.log(`leading ${terms.length} shards with ${leases.size} lease`);

await Promise.all(shards.map((shard) => shard.close()));
client.close();
