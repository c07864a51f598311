/** Observes the leader without a campaign. Ctrl-C ends the program. */
import { Etcd3 } from 'etcd3';
import { Election } from 'etcd-election';

const endpoints = process.env['ETCD_ENDPOINTS'];
if (!endpoints) throw new Error('set ETCD_ENDPOINTS, for example to http://127.0.0.1:2379');
const client = new Etcd3({ hosts: endpoints.split(',') });
const interrupted = new AbortController();
process.on('SIGINT', () => interrupted.abort());

// #region observe
const election = new Election(client, 'sync-master');
for await (const leader of election.observe({ signal: interrupted.signal })) {
  if (leader === null) console.log('etcd does not answer: it is not known who leads');
  else if (leader === undefined) console.log('nobody leads');
  else console.log(`${leader.value} leads, fencing token ${leader.fencingToken}`);
}
// #endregion observe

await election.close();
client.close();
