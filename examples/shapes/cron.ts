/** A program that cron starts on every host at the same minute: one of them does the job, the others skip it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Election, type Term } from 'etcd-election';
import { connect, electionName } from './connect.ts';

const client = connect();

async function writeReport(term: Term): Promise<string> {
  for (let page = 1; page <= 3; page++) {
    term.assertCurrent(); // a job that lost its term stops, and cron reports the failure
    await sleep(100);
  }
  return 'report written';
}

// #region cron
const election = new Election(client, electionName);
try {
  // Longer than the hosts' timers can be apart, or a late host finds the election free and runs the job again.
  const report = await election.lead(writeReport, { ifFree: true, atLeastMs: 5_000 });
  console.log(report ?? 'skipped: another host has it');
} finally {
  await election.close();
  client.close();
}
// #endregion cron
