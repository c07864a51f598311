import { setTimeout as sleep } from 'node:timers/promises';
import { Etcd3 } from 'etcd3';
import { Election, UnavailableError } from 'etcd-election';

const { ETCD_ENDPOINTS } = process.env;
if (!ETCD_ENDPOINTS) throw new Error('set ETCD_ENDPOINTS, for example to http://127.0.0.1:2379');
const client = new Etcd3({ hosts: ETCD_ENDPOINTS.split(',') });
const election = new Election(client, 'sync-master', {
  onLeader: async (term) => {
    for (let step = 1; term.isCurrent(); step++) {
      await sleep(1_000, undefined, { signal: term.signal }).catch(() => undefined); // ends as soon as the term ends
      if (!term.isCurrent()) break;
      try {
        await term.put('sync/progress', `step ${step}`); // etcd refuses this write if another replica leads
        console.log(`step ${step} under fencing token ${term.fencingToken}`);
      } catch (error) {
        if (!(error instanceof UnavailableError)) throw error; // ends the term
        console.log(`step ${step} was not written: ${error.message}`); // etcd does not answer
      }
    }
    console.log('work stopped');
  },
  onFollower: (leader) => console.log(leader ? `following ${leader.value}` : 'no leader yet'),
});
void election.campaign();

const shutDown = async () => {
  await election.close(); // stops the work, awaits it, and only then deletes the key
  client.close();
  console.log('shut down');
};
process.on('SIGINT', () => void shutDown()); // Ctrl-C. Not `once`: a second Ctrl-C would kill the process before it hands over
process.on('SIGTERM', () => void shutDown());
