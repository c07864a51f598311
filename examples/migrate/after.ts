/**
 * The replica of before.ts, after the move to etcd-election. The keys are the same (`election/<name>/…`). So this replica shares
 * one queue with the replicas that still use etcd3's own `Election`. Move one replica at a time.
 */
import { Etcd3 } from 'etcd3';
import { Election } from 'etcd-election';

const name = process.env['ELECTION'] ?? 'sync-master';
const endpoints = process.env['ETCD_ENDPOINTS'];
if (!endpoints) throw new Error('set ETCD_ENDPOINTS, for example to http://127.0.0.1:2379');
const client = new Etcd3({ hosts: endpoints.split(',') });
const election = new Election(client, name, {
  onLeader: () => console.log('after leads'),
  onFollower: (leader) => console.log(`after follows ${leader?.value}`),
});
void election.campaign('after');

const shutDown = (): void => void election.close().then(() => client.close());
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, shutDown);
