/** A consumer of a queue: what was taken is finished, and acknowledged only under a fresh check. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Election, type Term } from 'etcd-election';
import { connect, electionName, onStop } from './connect.ts';

const client = connect();

/** Stands for a queue whose `take()` waits for a message, and gives what is not acknowledged to another. */
const queue = {
  next: 0,
  take: async (signal: AbortSignal): Promise<number | undefined> => {
    await sleep(20, undefined, { signal }).catch(() => undefined);
    return signal.aborted ? undefined : ++queue.next;
  },
  acknowledge: async (message: number) => console.log(`acknowledged ${message}`),
};

// #region consumer
async function consume(term: Term): Promise<void> {
  while (term.isCurrent()) {
    const message = await queue.take(term.signal); // the signal ends the wait, so no message is taken and lost
    if (message === undefined) return;
    await handle(term, message);
    await queue.acknowledge(message);
  }
}

/** Writes under the fence: a leader of yesterday gets LeadershipLostError, and does not acknowledge. */
async function handle(term: Term, message: number): Promise<void> {
  await term
    .txn()
    .then(client.put(`${electionName}-results/${message}`).value('done'))
    .commit();
}

const election = new Election(client, electionName, { onLeader: consume, whenWorkEnds: 'step-down' });
void election.campaign();
// #endregion consumer

onStop(async () => {
  await election.close();
  client.close();
});
