import { Etcd3 } from 'etcd3';
import { Election } from 'etcd-election';

const { ETCD_ENDPOINTS } = process.env;
if (!ETCD_ENDPOINTS) throw new Error('set ETCD_ENDPOINTS, for example to http://127.0.0.1:2379');
const client = new Etcd3({ hosts: ETCD_ENDPOINTS.split(',') });
const election = new Election(client, 'sync-master', {
  onLeader: (term) => term.every(1_000, () => console.log(`leading, fencing token ${term.fencingToken}`)),
  onFollower: (leader) => console.log(leader ? `following ${leader.value}` : 'no leader yet'),
});
void election.campaign(); // not awaited, because campaign() resolves only when we lead. After every loss the library campaigns again
const shutDown = () => void election.close().then(() => client.close()); // the next replica leads at once
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, shutDown);
