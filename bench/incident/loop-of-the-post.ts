/**
 * The loop of the incident, in TypeScript on the bare etcd3 client: `for { _ = etcd.Newleaseslock(ip) }`. It
 * does not fail: it grants a lease, finds the lock taken, logs that, ignores the result and repeats. Nothing
 * revokes the leases, and etcd3 keeps each of them alive.
 */
import { Etcd3 } from 'etcd3';
import { countRound, tellEvery } from '../guard/support/tell.ts';
import { watchWhenTold } from './watch-when-told.ts';

const TTL_SECONDS = 10;
const KEY = 'incident/sync-master';

const client = new Etcd3({ hosts: process.argv[2]! });

async function newLeasesLock(ip: string): Promise<boolean> {
  const lease = client.lease(TTL_SECONDS);
  const leaseId = await lease.grant();
  const { succeeded } = await client
    .if(KEY, 'Create', '==', 0)
    .then(client.put(KEY).value(ip).lease(leaseId))
    .commit();
  const master = await client.get(KEY).string();
  console.log(
    `${new Date().toISOString()} [INFO] lease ${leaseId}: ${succeeded ? 'got' : 'did not get'} the lock, master is ${master}`,
  );
  return succeeded;
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
watchWhenTold();
await initSyncStart('10.0.0.7');
