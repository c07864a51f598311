/** The short pieces of code in the reference, the guide and the errors page, as one program. */
import { subscribe } from 'node:diagnostics_channel';
import { setTimeout as sleep } from 'node:timers/promises';
import { Etcd3 } from 'etcd3';
import { Election, ElectionError, type ElectionEvent, LeadershipLostError, type Term } from 'etcd-election';
import pino from 'pino';

const endpoints = process.env['ETCD_ENDPOINTS'];
if (!endpoints) throw new Error('set ETCD_ENDPOINTS, for example to http://127.0.0.1:2379');
const client = new Etcd3({ hosts: endpoints.split(',') });
const logger = pino({ level: 'warn' });

// #region events
subscribe('etcd-election:term.started', (message) => {
  const { election, fencingToken } = message as ElectionEvent & { type: 'term.started' };
  console.log(`event: leading ${election}: ${BigInt(fencingToken) > 0n}`);
});
// #endregion events

// #region lead
const election = new Election(client, 'nightly-report', { logger });
const pages = await election.lead(async (term) => {
  return await writeReport(term);
});
// #endregion lead
console.log(`lead returned ${pages}`);

async function writeReport(term: Term): Promise<number> {
  // #region act
  term.assertCurrent(); // throws LeadershipLostError after the end of the term
  await term.proclaim('10.0.0.7:8788'); // changes the announced value within the term
  console.log(
    `current: ${term.isCurrent()}, at most ${Math.round(term.remainingMs())} ms left if no renewal comes`,
  );
  // #endregion act
  return 12;
}

// #region signal
async function syncEverything(term: Term): Promise<void> {
  term.signal.addEventListener('abort', () => {
    const { reason } = term.signal.reason as LeadershipLostError;
    console.log(`stop: ${reason}`);
  });
  while (term.isCurrent()) {
    // fetch(), timers and streams accept a signal.
    await sleep(1_000, undefined, { signal: term.signal }).catch(() => undefined);
  }
}
// #endregion signal

// #region status
const syncing = new Election(client, 'sync-master', { logger, onLeader: syncEverything });
const term = await syncing.campaign('10.0.0.7');

const { state, position, leader, guard } = syncing.status; // known without a request to etcd
console.log(state, position, leader?.value, guard.state);

const leading = await syncing.leader(); // asks etcd
const queue = await syncing.candidates(); // all candidates, the leader first
console.log(leading?.fencingToken === term.fencingToken, queue.length);
// #endregion status

await syncing.close();

// #region errors
try {
  await syncing.campaign();
} catch (error) {
  if (!(error instanceof ElectionError)) throw error;
  console.log(error.code, error.retryable);
}
// #endregion errors

await election.close();
client.close();
