/**
 * A job that runs at most once for each scheduled time. The leader claims each time in etcd, then runs the job. If no replica
 * leads at that time, the run is lost. The program in at-least-once.ts loses no run, but may repeat one.
 */
import { Etcd3 } from 'etcd3';
import { Election, OutcomeUnknownError, UnavailableError, type Term } from 'etcd-election';
import { nextMoment, untilMoment } from './schedule.ts';

const endpoints = process.env['ETCD_ENDPOINTS'];
if (!endpoints) throw new Error('set ETCD_ENDPOINTS, for example to http://127.0.0.1:2379');
const client = new Etcd3({ hosts: endpoints.split(',') });
const claim = `${process.env['KEYS'] ?? ''}cron/nightly-report`;

const election = new Election(client, process.env['ELECTION'] ?? 'nightly-report', {
  ttlSeconds: Number(process.env['TTL_SECONDS'] ?? 10),
  onLeader: (term) => keepSchedule(term),
});

// #region claim
async function keepSchedule(term: Term): Promise<void> {
  while (term.isCurrent()) {
    const moment = nextMoment(Date.now());
    if (!(await untilMoment(moment, term))) return;
    const name = new Date(moment).toISOString();
    if (await claimed(term, name)) console.log(`ran ${name} under token ${term.fencingToken}`); // your job
  }
}

/** Claims the moment. If etcd does not answer, this moment is skipped, and the term goes on. */
async function claimed(term: Term, moment: string): Promise<boolean> {
  try {
    return await claimMoment(term, moment);
  } catch (error) {
    // A claim whose answer was lost may still land. Then nobody runs the job for that moment.
    if (!(error instanceof UnavailableError || error instanceof OutcomeUnknownError)) throw error;
    console.log(`skipped ${moment}: ${error.message}`);
    return false;
  }
}

async function claimMoment(term: Term, moment: string): Promise<boolean> {
  // Creates the key if it is missing, because a comparison with the value of a missing key is false.
  await term.txn().and(claim, 'Create', '==', 0).then(client.put(claim).value('')).commit();
  const { succeeded } = await term
    .txn()
    .and(claim, 'Value', '<', moment)
    .then(client.put(claim).value(moment))
    .commit();
  return succeeded;
}
// #endregion claim

const shutDown = (): void => void election.close().then(() => client.close()); // close() waits for the job
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, shutDown);
void election.campaign();
