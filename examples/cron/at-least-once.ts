/**
 * A job that runs at least once for each scheduled time. The leader runs the job, then records the time in etcd. A new leader
 * begins with the first time after the recorded one. A crash may delay or repeat a run, but no run is lost.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Etcd3 } from 'etcd3';
import { Election, OutcomeUnknownError, UnavailableError, type Term } from 'etcd-election';
import { nextMoment, untilMoment } from './schedule.ts';

const endpoints = process.env['ETCD_ENDPOINTS'];
if (!endpoints) throw new Error('set ETCD_ENDPOINTS, for example to http://127.0.0.1:2379');
const client = new Etcd3({ hosts: endpoints.split(',') });
const done = `${process.env['KEYS'] ?? ''}cron/nightly-report-done`;

const election = new Election(client, process.env['ELECTION'] ?? 'nightly-report', {
  ttlSeconds: Number(process.env['TTL_SECONDS'] ?? 10),
  onLeader: (term) => keepSchedule(term),
});

/** Your job. It may run twice for one moment, so the second run must replace the report of the first run. */
async function runJob(moment: string, term: Term): Promise<void> {
  await sleep(Number(process.env['JOB_MS'] ?? 0));
  console.log(`ran ${moment} under token ${term.fencingToken}`);
}

// #region record
async function keepSchedule(term: Term): Promise<void> {
  let last = await untilAnswered(() => lastRun(term));
  for (;;) {
    const moment = nextMoment(Date.parse(last)); // already past, if the moment was missed
    if (!(await untilMoment(moment, term))) return;
    last = new Date(moment).toISOString();
    await runJob(last, term); // a failure ends the term, and the next leader runs the job again
    await untilAnswered(() => recordRun(term, last));
  }
}

/** Returns the last recorded moment. If there is none, records the present time, so that the schedule begins now. */
async function lastRun(term: Term): Promise<string> {
  const now = new Date().toISOString();
  await term.txn().and(done, 'Create', '==', 0).then(client.put(done).value(now)).commit();
  const { responses } = await term.txn().then(client.get(done)).commit();
  return responses[0]!.response_range.kvs[0]!.value.toString();
}

/** Records a moment, unless a later one is recorded already. So a delayed write of an earlier moment has no effect. */
async function recordRun(term: Term, moment: string): Promise<void> {
  await term.txn().and(done, 'Value', '<', moment).then(client.put(done).value(moment)).commit();
}

/** Repeats a call until etcd answers, so a write may happen twice. After the term the call rejects, and ends this loop. */
async function untilAnswered<T>(call: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof UnavailableError || error instanceof OutcomeUnknownError)) throw error;
      await sleep(250);
    }
  }
}
// #endregion record

const shutDown = (): void => void election.close().then(() => client.close()); // close() waits for the job
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, shutDown);
void election.campaign();
