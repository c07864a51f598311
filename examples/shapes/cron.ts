/** A program that cron starts on every host at the same minute. One host does the job, and the other hosts skip the job. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Election, ElectionClosedError, LeadershipLostError, type Term } from 'etcd-election';
import { connect, electionName } from './connect.ts';

const client = connect();

async function writeReport(term: Term): Promise<string> {
  for (let page = 1; page <= 3; page++) {
    term.assertCurrent(); // stops the job if the term is over
    await sleep(100);
  }
  return 'report written';
}

// #region cron
/** The day of the last scheduled time before `now`. A host that starts late, even after midnight, claims the same day. */
function scheduledDay(now: number): string {
  const [hours = 0, minutes = 0] = atUtc.split(':').map(Number);
  return new Date(now - (hours * 60 + minutes) * 60_000).toISOString().slice(0, 10);
}

const atUtc = process.env['AT_UTC'] ?? '03:00'; // when cron starts the program, in UTC
const day = process.env['DAY'] ?? scheduledDay(Date.now()); // to make up for a missed day, delete its claim, and set DAY to that day
const claim = `${electionName}-runs/${day}`;

/** Claims the day, then writes the report. So the report is written at most once. */
async function reportOnce(term: Term): Promise<string> {
  const { succeeded } = await term
    .txn()
    .and(claim, 'Create', '==', 0) // true if the key does not exist
    .then(client.put(claim).value(`token ${term.fencingToken}`))
    .commit();
  return succeeded ? await writeReport(term) : `skipped: ${day} is claimed already`;
}

const stop = new AbortController();
process.on('SIGTERM', () => stop.abort());
process.on('SIGINT', () => stop.abort());

const election = new Election(client, electionName);
try {
  // Without the claim, atLeastMs must be longer than the largest delay between hosts.
  const report = await election.lead(reportOnce, { ifFree: true, atLeastMs: 0, signal: stop.signal });
  console.log(report ?? 'skipped: another host has entered the election'); // perhaps a dead host whose key etcd still has
} catch (error) {
  const isExpected = error instanceof LeadershipLostError || error instanceof ElectionClosedError;
  if (!isExpected) throw error; // exit code 1
  console.log(`stopped: ${error.message}`); // SIGTERM, or etcd was away for too long
  process.exitCode = 3; // the same code as `etcd-election run --once`
} finally {
  await election.close();
  client.close();
}
// #endregion cron
