/** Works off jobs that are keys of etcd. Each job has an effect outside etcd. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Election, OutcomeUnknownError, UnavailableError, type Term } from 'etcd-election';
import { connect, electionName, onStop } from './connect.ts';

const client = connect();
const jobs = `${electionName}-jobs/`;
const claims = `${electionName}-claims/`;
const done = `${electionName}-done/`;

/** Stands for an effect outside etcd: a payment, an e-mail, or a request to another service. */
async function pay(id: string, token: bigint): Promise<void> {
  await sleep(Number(process.env['PAY_MS'] ?? 20));
  console.log(`paid ${id} under token ${token}`);
}

// #region etcd_queue
async function workOff(term: Term): Promise<void> {
  while (term.isCurrent()) {
    const found = await untilAnswered(() => nextJob(term)); // rejects with LeadershipLostError after the term
    if (found === undefined) await sleep(100, undefined, { signal: term.signal }).catch(() => undefined);
    else await run(term, found.id, found.revision);
  }
}

/** Reads the oldest job. The answer has one entry for each operation in `then()`. */
async function nextJob(term: Term): Promise<{ id: string; revision: string } | undefined> {
  const oldest = client.getAll().prefix(jobs).sort('Create', 'Ascend').limit(1);
  const { responses } = await term.txn().then(oldest).commit();
  const [job] = responses[0]!.response_range.kvs;
  return job && { id: job.key.toString().slice(jobs.length), revision: job.mod_revision };
}

async function run(term: Term, id: string, revision: string): Promise<void> {
  // The claim is the last step before the payment. In a former leader it rejects with LeadershipLostError, and nothing is paid.
  await untilAnswered(() => term.put(claims + id, String(term.fencingToken)));
  await pay(id, term.fencingToken); // without term.signal: a claimed job is always finished
  // If the job is unchanged (`Mod`), one transaction deletes the job and records the payment.
  const record = [
    client.delete().key(jobs + id),
    client.delete().key(claims + id),
    client.put(done + id).value(String(term.fencingToken)),
  ];
  const { succeeded } = await untilAnswered(() =>
    term
      .txn()
      .and(jobs + id, 'Mod', '==', revision)
      .then(...record)
      .commit(),
  );
  if (!succeeded) console.log(`${id}: changed meanwhile, or recorded by a call whose answer was lost`);
}

/**
 * Repeats a call until etcd answers, so a write may happen twice. Pass only a read, a put of the same value, or a transaction
 * that compares `Mod`. After the term the call rejects, and ends this loop.
 */
async function untilAnswered<T>(call: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof UnavailableError || error instanceof OutcomeUnknownError)) throw error; // ends the term
      await sleep(250);
    }
  }
}

const election = new Election(client, electionName, { onLeader: workOff });
void election.campaign();

onStop(async () => {
  await election.close(); // the current job is paid and recorded first
  client.close();
});
// #endregion etcd_queue
