/**
 * A job that runs once for each moment of its schedule in the whole cluster: every replica knows the schedule, the
 * leader alone runs it, and a moment is claimed in etcd before it runs, so a new leader never repeats one.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Etcd3 } from 'etcd3';
import { Election, type Term } from 'etcd-election';

const endpoints = process.env['ETCD_ENDPOINTS'];
if (!endpoints) throw new Error('set ETCD_ENDPOINTS, for example to http://127.0.0.1:2379');
const client = new Etcd3({ hosts: endpoints.split(',') });
const everyMs = Number(process.env['EVERY_SECONDS'] ?? 60) * 1_000;
const claim = `${process.env['KEYS'] ?? ''}cron/nightly-report`;

/** Any cron library can say when the next moment is; here: each multiple of `everyMs`. */
const nextMoment = (afterMs: number): number => (Math.floor(afterMs / everyMs) + 1) * everyMs;

const election = new Election(client, process.env['ELECTION'] ?? 'nightly-report', {
  ttlSeconds: Number(process.env['TTL_SECONDS'] ?? 10),
  onLeader: (term) => keepSchedule(term),
});

async function keepSchedule(term: Term): Promise<void> {
  // A value can only be compared where there is one.
  await term.txn().and(claim, 'Create', '==', 0).then(client.put(claim).value('')).commit();
  while (term.isCurrent()) {
    const moment = nextMoment(Date.now());
    await sleep(moment - Date.now(), undefined, { signal: term.signal }).catch(() => undefined);
    if (term.isCurrent()) await runOnce(term, new Date(moment).toISOString());
  }
}

// #region claim
/** Claims the moment, then runs the job: at most once. */
async function runOnce(term: Term, moment: string): Promise<void> {
  const { succeeded } = await term
    .txn()
    .and(claim, 'Value', '<', moment)
    .then(client.put(claim).value(moment))
    .commit();
  if (succeeded) console.log(`ran ${moment} under token ${term.fencingToken}`); // your job
}
// #endregion claim

process.once('SIGTERM', () => void election.close().then(() => client.close()));
void election.campaign();
