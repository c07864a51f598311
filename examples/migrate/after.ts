/**
 * The same replica, moved over: the same keys (`election/<name>/…`), so it queues with those that are not moved yet.
 * Move one at a time; at no instant do two lead because of the move.
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

process.once('SIGTERM', () => {
  void election.close().then(() => client.close());
});
