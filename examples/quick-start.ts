import { setTimeout as sleep } from 'node:timers/promises';
import { Etcd3 } from 'etcd3';
import { Election } from 'etcd-election';

const endpoints = process.env['ETCD_ENDPOINTS'];
if (!endpoints) throw new Error('set ETCD_ENDPOINTS, for example to http://127.0.0.1:2379');
const client = new Etcd3({ hosts: endpoints.split(',') });
const election = new Election(client, 'sync-master', {
  onLeader: async (term) => {
    console.log(`leading, fencing token ${term.fencingToken}`);
    while (term.isCurrent()) await sleep(1000); // your work, only while we lead
  },
  onFollower: (leader) => console.log(leader ? `following ${leader.value}` : 'following'),
});
await election.campaign(); // stands again by itself after every loss
