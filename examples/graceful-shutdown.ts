/** On SIGTERM the work stops, and then the next replica leads at once. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Etcd3 } from 'etcd3';
import { Election, type Term } from 'etcd-election';

const endpoints = process.env['ETCD_ENDPOINTS'];
if (!endpoints) throw new Error('set ETCD_ENDPOINTS, for example to http://127.0.0.1:2379');
const client = new Etcd3({ hosts: endpoints.split(',') });

async function work(term: Term): Promise<void> {
  console.log('working');
  while (term.isCurrent()) await sleep(100); // one step of the work
  console.log('work finished');
}

// #region shutdown
const election = new Election(client, 'sync-master', {
  onLeader: (term) => work(term),
  drainTimeoutMs: 5_000, // how long the work may take to stop
});

async function shutDown(): Promise<void> {
  await election.close(); // stops the work, awaits it, and only then deletes the key
  client.close();
  console.log('shut down');
}
let stopping: Promise<void> | undefined; // nodemon, node --watch and tsx watch signal twice
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => void (stopping ??= shutDown()));
void election.campaign();
// #endregion shutdown
