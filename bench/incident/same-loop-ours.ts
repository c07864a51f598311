/**
 * The loop of the incident again, word for word, through our API: the caller throws the result away and goes
 * round again.
 */
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
      // and round again
    }
    countRound();
  }
}

tellEvery(250);
await initSyncStart('10.0.0.7');
