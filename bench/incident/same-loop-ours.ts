/** The same loop of the incident through our API: the caller ignores the result and repeats. */
import { Etcd3 } from 'etcd3';
import { Election } from 'etcd-election';
import { countRound, tellEvery } from '../guard/support/tell.ts';

const client = new Etcd3({ hosts: process.argv[2]! });

async function newLeasesLock(ip: string): Promise<void> {
  const term = await new Election(client, 'sync-master').campaign(ip);
  console.log(
    `${new Date().toISOString()} [INFO] lease ${term.leaseId}: got the lock, master is ${term.value}`,
  );
}

async function initSyncStart(ip: string): Promise<never> {
  for (;;) {
    try {
      await newLeasesLock(ip);
    } catch {
      // and repeats
    }
    countRound();
  }
}

tellEvery(250);
await initSyncStart('10.0.0.7');
